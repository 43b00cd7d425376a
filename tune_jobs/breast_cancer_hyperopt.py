"""Tune a multilayer perceptron on the breast cancer table with HyperOpt's TPE and ASHA.

The search of ``breast_cancer_tpe`` with another searcher. No download.

tune-jobs run breast_cancer_hyperopt
"""

from dataclasses import replace

from tune_jobs import breast_cancer_tpe
from tune_jobs.engine import HyperOptTPE

JOB = replace(breast_cancer_tpe.JOB, searcher=HyperOptTPE())
