#!/bin/sh
# Install Debian's SLURM for the tests of clusters; no service is started. Needs root.
set -eu
[ ! -x /usr/sbin/slurmctld ] || exit 0
rule=/usr/sbin/policy-rc.d
if [ ! -e "$rule" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$rule"
    chmod +x "$rule"
    trap 'rm -f "$rule"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    slurmctld slurmd slurm-client munge
