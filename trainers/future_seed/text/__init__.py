"""How does real text become prompts and answers, and how good are a model's answers?

Everything but `answers`, `retrieval` and `execution` is importable without torch.
"""
