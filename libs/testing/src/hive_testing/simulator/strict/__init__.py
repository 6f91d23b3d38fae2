"""What OpenAI refuses, in its own words: always in its responses, elsewhere where the simulator is strict."""
