"""Arrays to ranked items: a model's arrays, rows by id, the kernels and the exact ranking.

Pure arithmetic on arrays. No file, no version, no request.
"""
