"""Scores studies on a Ray cluster, as a job that `ray job submit` hands over. It takes what `medmm score` takes.

On the cluster, once (the token is a secret of those who may use the cluster; every node needs it in the same file):

    ray get-auth-token --generate                                      # writes ~/.ray/auth_token
    RAY_AUTH_MODE=token ray start --head --port=6379                   # head node; its dashboard takes the jobs
    RAY_AUTH_MODE=token ray start --address=HEAD:6379 --num-gpus=4     # each other node

For each scoring, from any machine that has the token and reaches the dashboard:

    RAY_AUTH_MODE=token ray job submit --address http://HEAD:8265 -- \
        python /shared/medmm/workflows/cluster/score_ray.py /shared/package /shared/incoming --out /shared/scores

Paths are those of the nodes, on a disk that all of them share. Every node has medmm[ray] and ray[default], which takes jobs.
A job that was stopped goes on when it is submitted again: each study is scored once. There is no line to adapt.
"""

import sys

from medmm.workflows.cli import main

if __name__ == "__main__":
    sys.argv = ["medmm", "score", *sys.argv[1:], "--engine", "ray"]  # Ray says where the cluster is, in RAY_ADDRESS
    main()
