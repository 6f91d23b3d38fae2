"""Bodies of requests and answers in other forms than the gateway's own."""
