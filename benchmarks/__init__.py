"""Measurements that README and the model cards tell of, to be repeated from a checkout."""
