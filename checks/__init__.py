"""The checks that certify a site: one file a family, one function a check.

A check takes ``worker`` (evidence of one worker) or ``run`` (evidence of the whole run). Its docstring is its
claim and its remedy, as the report and the documentation print them.
"""
