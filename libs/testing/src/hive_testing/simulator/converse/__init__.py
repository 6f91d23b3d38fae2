"""Amazon's dialect: POST /model/{id}/converse, /converse-stream (binary frames), /count-tokens and /invoke.

The last one is for models of embeddings alone, Amazon's Titan and Cohere's.
"""
