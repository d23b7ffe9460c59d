"""What runs on the worker nodes: by path, with the packed Python, importing nothing of ours."""
