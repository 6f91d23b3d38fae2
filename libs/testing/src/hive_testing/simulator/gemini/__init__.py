"""Google's dialect: /v1beta/models/{model}:generateContent and its kin, and the same paths of Vertex AI.

Methods: generateContent, streamGenerateContent (server-sent events with ?alt=sse, else one long JSON array),
countTokens, embedContent, batchEmbedContents, and Vertex's predict for embeddings.
"""
