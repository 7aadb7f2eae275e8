"""The contract between trainer and worker: what a model eats, what it is, where it is kept.

Rules of this package
1. It imports nothing of `stream` and `trainer`.
2. Only `models.network` and what it is made of (`backend`, `trunks`, `cross_trunk`, `builder`) import Keras and
   TensorFlow; reading a bundle or moving a pointer needs neither.
"""
