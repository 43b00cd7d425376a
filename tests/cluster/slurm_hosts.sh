#!/usr/bin/env bash
# A Slurm of three hosts on one machine, of which nothing outside can be seen or ended:
#
#     slurm_hosts.sh FOLDER KEEP... -- COMMAND...
#
# runs COMMAND where sbatch works, with two nodes of 2 CPUs and 1 (pretended) GPU. Each host has its
# own processes, network, name and /tmp; of the machine's /tmp they all see FOLDER and KEEP alone.
# When COMMAND ends, everything ends with it. Needs root, iproute2, munge and Slurm.
# shellcheck disable=SC2016,SC2317  # a node's own variables; it calls the function
set -euo pipefail

if [[ ${1:-} != --inside ]]; then
	exec unshare --pid --fork --kill-child --mount-proc --net --uts --ipc --mount \
		bash "$0" --inside "$@"
fi
shift
folder=$1
keep=("$1")
shift
while [[ $1 != -- ]]; do
	keep+=("$1")
	shift
done
shift

own_tmp() { # a /tmp of one's own, with nothing but what is shared
	mount -t tmpfs none /mnt
	mkdir -m 1777 /mnt/tmp
	for path in "${keep[@]}"; do
		[[ $path == /tmp/* ]] || continue
		mkdir -p "/mnt$path"
		mount --bind "$path" "/mnt$path"
	done
	mount --rbind /mnt/tmp /tmp
}

cd "$folder"
export SLURM_CONF=$folder/slurm.conf
hostname controller
ip link set lo up
ip link add bridge type bridge
ip address add 10.77.0.10/24 dev bridge
ip link set bridge up
mkdir -p state spool/node1 spool/node2 log
printf '127.0.0.1 localhost\n10.77.0.10 controller\n10.77.0.1 node1\n10.77.0.2 node2\n' >hosts
mount --bind hosts /etc/hosts
cat >slurm.conf <<END
ClusterName=test
SlurmctldHost=controller
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket,cred_expire=10
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
SchedulerParameters=sched_interval=2,batch_sched_delay=1
ReturnToService=2
GresTypes=gpu
NodeName=node[1-2] CPUs=2 RealMemory=4000 Gres=gpu:1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE
END
mknod gpu0 c 1 3
echo "Name=gpu File=$folder/gpu0" >gres.conf
head -c 64 /dev/urandom >munge.key
chmod 400 munge.key
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
	--pid-file="$folder/munged.pid" --log-file="$folder/log/munged" \
	--seed-file="$folder/munge.seed" 2>/dev/null
slurmctld -D 2>/dev/null &

for number in 1 2; do
	export -f own_tmp
	export number KEEP="${keep[*]}"
	unshare --pid --fork --kill-child --mount-proc --net --uts --ipc --mount bash -euc '
		hostname "node$number"
		ip link set lo up
		until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
		ip address add "10.77.0.$number/24" dev eth0
		ip link set eth0 up
		read -ra keep <<<"$KEEP"
		own_tmp
		exec slurmd -D
	' >"log/start$number" 2>&1 &
	host=$!
	inner=''
	until [[ $inner ]]; do inner=$(pgrep -P "$host" || true); done
	ip link add "veth$number" type veth peer name eth0 netns "$inner"
	ip link set "veth$number" master bridge up
done

for _ in {1..300}; do
	[[ $(sinfo --noheader --format=%T 2>/dev/null) == idle ]] && break
	sleep 0.2
done
code=0
"$@" || code=$?
exit "$code"
