#!/bin/bash
# A private Ceph (Debian 12 has 16.2.15): a monitor, one store in memory, an S3 gateway. Needs no root.
# usage: ceph_rgw.sh FOLDER MONITOR_PORT GATEWAY_PORT
# Prints `ready`, and ends when its standard input does: with whoever started it, however that ended.
set -e
D=$(realpath -m "$1"); MP=$2; RP=$3
mkdir -p "$D"/{mon,osd,run,log}
stop() {
  set +e
  for part in rgw osd mon; do  # in the order in which they need each other
    [ -f "$D/$part.pid" ] && kill "$(cat "$D/$part.pid")" && wait "$(cat "$D/$part.pid")"
  done
}
trap stop EXIT
FSID=$(cat /proc/sys/kernel/random/uuid)
cat >"$D/ceph.conf" <<C
[global]
fsid = $FSID
mon host = v1:127.0.0.1:$MP
mon initial members = a
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
run dir = $D/run
admin socket = $D/run/\$name.\$pid.asok
log file = $D/log/\$name.log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
mon allow pool size one = true
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
osd pool default pg autoscale mode = off
mon max pg per osd = 2000
setuser match path =
ms bind msgr2 = false
ms bind msgr1 = true
[mon]
mon data = $D/mon
[osd]
osd data = $D/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd class load list = *
osd class default list = *
[client]
keyring = $D/keyring
rgw frontends = beast endpoint=127.0.0.1:$RP
rgw data = $D/rgw
rgw thread pool size = 32
rgw dynamic resharding = false
rgw enable usage log = false
rgw trust forwarded https = true
C
export CEPH_CONF="$D/ceph.conf"
monmaptool --create --clobber --fsid "$FSID" --addv a "[v1:127.0.0.1:$MP]" "$D/monmap" >/dev/null
ceph-mon -c "$D/ceph.conf" --mkfs -i a --monmap "$D/monmap"
ceph-mon -c "$D/ceph.conf" -i a -f >"$D/log/mon.out" 2>&1 </dev/null & echo $! >"$D/mon.pid"
U=$(cat /proc/sys/kernel/random/uuid)
ceph -c "$D/ceph.conf" --connect-timeout 20 osd new "$U" >/dev/null
ceph-osd -c "$D/ceph.conf" -i 0 --mkfs --osd-uuid "$U" >"$D/log/mkfs.out" 2>&1
# Now and then the store of 16.2 asks the monitor before it knows its map, hears 'wrong fsid' and ends: begin it again.
for _ in 1 2 3 4 5 6; do
  ceph-osd -c "$D/ceph.conf" -i 0 -f >"$D/log/osd.out" 2>&1 </dev/null & OSD=$!; echo $OSD >"$D/osd.pid"
  for _ in $(seq 150); do
    grep -q 'booting -> active' "$D/log/osd.0.log" 2>/dev/null && break 2
    kill -0 $OSD 2>/dev/null || break
    sleep 0.1
  done
done
radosgw -c "$D/ceph.conf" -n client.rgw -f >"$D/log/rgw.out" 2>&1 </dev/null & echo $! >"$D/rgw.pid"
for _ in $(seq 400); do (: </dev/tcp/127.0.0.1/"$RP") 2>/dev/null && break; sleep 0.1; done
radosgw-admin -c "$D/ceph.conf" -n client.rgw user create --uid=test --display-name=test \
  --access-key=testkey --secret=testsecret >"$D/log/user.out" 2>&1
echo ready
cat >/dev/null
