#!/usr/bin/env bash
# Training in a group over MPI: the losses of one process, on this machine and between hosts in network namespaces of their own; a
# clear end when a process dies; and a resume. Builds hearth with the trait MPI into .build-mpi (--build FOLDER: elsewhere). The hosts
# need root.
set -uo pipefail
cd "$(dirname "$0")/.."
source Scripts/requirements.sh
build=.build-mpi
[ "${1:-}" = --build ] && build=$2
need_toolchain
pkg-config --exists ompi-c 2>/dev/null && command -v mpirun >/dev/null ||
  need_packages "Open MPI is missing" libopenmpi-dev openmpi-bin pkg-config

swift build --product hearth --traits MPI --scratch-path "$build" 2>&1 | tail -2 || exit 1
hearth=$PWD/$build/debug/hearth
folder=$(mktemp -d)
failed=0
complain() { echo "FAILED: $*"; failed=1; }

clean() {
  # Whoever lost the others without a word may wait still.
  [ -n "${hosts:-}" ] && for host in $hosts; do
    for process in $(ip netns pids "$host"); do kill -9 "$process"; done
    ip netns delete "$host"
  done 2>/dev/null
  rm -rf "$folder"
}
trap clean EXIT

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
"$hearth" show smollm2 >/dev/null 2>&1 || "$hearth" pull smollm2 || exit 1
head -n 48 Examples/help-desk/train.jsonl >"$folder/train.jsonl"
head -n 8 Examples/help-desk/validation.jsonl >"$folder/validation.jsonl"
steps=6
recipe=(--model smollm2 --data "$folder/train.jsonl" --validation "$folder/validation.jsonl" --batch-size 8 --epochs 1
  --evaluate-every 2 --learning-rate 1e-3 --no-probe --threads 1 --quiet)

losses() { sed -nE 's/.*"event": "([a-z]+)", "step": ([0-9]+).*"loss": ([0-9.e-]+).*/\1 \2 \3/p' "$1/metrics.jsonl"; }

# Whether two runs have the same losses, but for the order of a sum; in bf16 what that changes is rounded to eight bits again and
# again, and the third argument says how much it may be.
same() {
  paste <(losses "$1") <(losses "$2") | awk -v most="${3:-1e-4}" -v name="$(basename "$2")" '
    { n++; d = ($3 - $6) / $3; if (d < 0) d = -d; if (d > worst) worst = d; if ($1 != $4 || $2 != $5) bad = 1 }
    END { printf "%s: %d losses, within a relative %.1e of each other\n", name, n, worst; exit bad || n < 9 || worst > most }'
}

echo "1. One process, then two of this machine"
for precision in f32 bf16 int8; do
  one=("${recipe[@]}" --precision $precision)
  "$hearth" finetune "${one[@]}" --output "$folder/one-$precision" || exit 1
  mpirun -np 2 --oversubscribe "$hearth" finetune "${one[@]}" --output "$folder/two-$precision" || complain "two processes, $precision"
done
full=("${recipe[@]}" --precision int8 --method full --learning-rate 1e-4 --keep 1)
"$hearth" finetune "${full[@]}" --output "$folder/one-full" || exit 1
mpirun -np 2 --oversubscribe "$hearth" finetune "${full[@]}" --output "$folder/two-full" || complain "two processes, full"
same "$folder/one-f32" "$folder/two-f32" || complain "two processes have other losses than one"
for precision in bf16 int8; do
  same "$folder/one-$precision" "$folder/two-$precision" 5e-3 || complain "two processes have other losses than one in $precision"
done
same "$folder/one-full" "$folder/two-full" 5e-3 || complain "two processes have other losses than one in full fine-tuning"
rm -rf "$folder/one-full" "$folder/two-full"

echo "2. A process dies in the middle; the run goes on from its last checkpoint"
mpirun -np 2 --oversubscribe "$hearth" finetune "${recipe[@]}" --precision bf16 --output "$folder/killed" 2>"$folder/killed.txt" &
group=$!
until grep -qs '"step": 3' "$folder/killed/metrics.jsonl" || ! kill -0 $group 2>/dev/null; do sleep 0.05; done
# The last one that was started is not the first of the group, which says what happened.
pkill -9 -n -f "finetune.*$folder/killed"
wait $group && complain "a group of which one died ends as if nothing had happened"
grep -q "told to end, most likely because another process" "$folder/killed.txt" || { complain "nobody says that a process died"; cat "$folder/killed.txt"; }
mpirun -np 2 --oversubscribe "$hearth" finetune --output "$folder/killed" --resume --threads 1 --quiet || complain "resume"
cmp "$folder/two-bf16/latest/adapter_model.safetensors" "$folder/killed/latest/adapter_model.safetensors" ||
  complain "the resumed run has another adapter than the one that nobody touched"

if [ "$(id -u)" = 0 ] && command -v ip >/dev/null; then
  echo "3. Two hosts, each in a network of its own, joined by a cable"
  hosts="hearth-a-$$ hearth-b-$$"
  set -- $hosts
  ip netns add "$1" && ip netns add "$2" && ip link add va netns "$1" type veth peer name vb netns "$2" || exit 1
  for end in "$1 va 10.77.0.1" "$2 vb 10.77.0.2"; do
    set -- $end
    ip -n "$1" link set lo up && ip -n "$1" addr add "$3/24" dev "$2" && ip -n "$1" link set "$2" up
  done
  # What mpirun calls in place of ssh: the command, on the host with that address.
  cat >"$folder/agent" <<AGENT
#!/usr/bin/env bash
[ "\$1" = 10.77.0.1 ] && host=${hosts% *} || host=${hosts#* }
shift
exec ip netns exec \$host unshare --uts bash -c "hostname \$host; exec \$*"
AGENT
  chmod +x "$folder/agent"
  # hearth finetune on both hosts, started from the first.
  on_hosts() {
    ip netns exec "${hosts% *}" unshare --uts bash -c 'hostname "$1"; shift; exec "$@"' host "${hosts% *}" \
      mpirun -np 2 -H 10.77.0.1:1,10.77.0.2:1 --mca plm_rsh_agent "$folder/agent" --mca btl tcp,self \
      --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 "$hearth" finetune "$@"
  }
  on_hosts "${recipe[@]}" --precision f32 --output "$folder/hosts" || complain "two hosts"
  same "$folder/one-f32" "$folder/hosts" || complain "two hosts have other losses than one process"
  bytes=$(ip -n "${hosts#* }" -s link show vb | awk '/RX:/ { getline; print $1 }')
  echo "the second host received $((bytes / 1000000)) MB in $steps steps"

  echo "4. A process on the second host dies, then its cable is pulled; each run goes on from its last checkpoint"
  # Linux waits a quarter of an hour for an answer before it takes a connection for lost.
  for host in $hosts; do ip netns exec "$host" sysctl -q net.ipv4.tcp_retries2=3; done
  for end in process cable; do
    run="$folder/hosts-$end"
    on_hosts "${recipe[@]}" --precision f32 --output "$run" 2>"$run.txt" &
    group=$!
    until grep -qs '"step": 3' "$run/metrics.jsonl" || ! kill -0 $group 2>/dev/null; do sleep 0.05; done
    if [ $end = process ]; then
      for process in $(ip netns pids "${hosts#* }"); do
        [ "$(cat /proc/$process/comm 2>/dev/null)" = hearth ] && kill -9 $process
      done
    else
      ip -n "${hosts#* }" link set vb down
    fi
    SECONDS=0
    wait $group && complain "two hosts of which one was lost ($end) end as if nothing had happened"
    echo "ended $SECONDS s after the $end was lost, saying: $(grep -m 1 '^hearth: ' "$run.txt")"
    grep -q "^hearth: " "$run.txt" || { complain "nobody says that a host was lost ($end)"; cat "$run.txt"; }
    ip -n "${hosts#* }" link set vb up
    on_hosts --output "$run" --resume --threads 1 --quiet || complain "resume between hosts ($end)"
    cmp "$folder/hosts/latest/adapter_model.safetensors" "$run/latest/adapter_model.safetensors" ||
      complain "the resumed run has another adapter than the one that nobody touched ($end)"
  done
else
  echo "3. Skipped: hosts in network namespaces need root and iproute2"
fi
[ $failed = 0 ] && echo "groups over MPI: nothing to complain about"
exit $failed
