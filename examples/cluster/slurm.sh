#!/bin/bash
# A run on several nodes: sbatch examples/cluster/slurm.sh recipe=car_on_mars
# Folders of photos, weights and outputs must be on a file system that all nodes see.
#SBATCH --job-name=darkroom
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --signal=B:TERM@120
#SBATCH --time=08:00:00
set -euo pipefail

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head --lines=1)
port=$((20000 + SLURM_JOB_ID % 20000))
export RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(head --bytes=32 /dev/urandom | sha256sum | cut --delimiter=' ' --fields=1)
export RAY_AUTH_TOKEN  # of this job alone
export RAY_ADDRESS="$head:$port"

# Ray starts on every node; the command runs on the first one. SIGTERM reaches the run, which stops cleanly.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$RAY_ADDRESS" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "${SLURM_CPUS_PER_TASK:-1}" -- \
    darkroom engine=ray "$@" &
trap 'kill -TERM $!' TERM
wait $! || wait $!
