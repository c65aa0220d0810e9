#!/bin/sh
# The RabbitMQ 4.0 and Redis 8.0 of Debian 13 on another Debian, without a container engine. As root:
#
#   PATH=$(test/services/debian-13.sh /opt/debian-13):$PATH npm test
#
# Puts Debian 13 into the folder, unless it is there, and prints a folder of programs that run inside of it. It binds /tmp,
# /dev and /proc into the folder: before you remove it, umount FOLDER/tmp FOLDER/dev FOLDER/proc, else yours go with it.
set -eu
root=$1
bin=$root/programs

if [ ! -e "$bin" ]; then
  debootstrap --variant=minbase --include=rabbitmq-server,redis-server trixie "$root" >&2
fi
# The servers keep their data in the temporary folders of the tests.
for folder in tmp dev proc; do
  mountpoint -q "$root/$folder" || mount --bind "/$folder" "$root/$folder" >&2
done

mkdir -p "$bin"
program() {
  printf '#!/bin/sh\nexec chroot %s %s "$@"\n' "$root" "$1" >"$bin/$(basename "$1")"
  chmod 755 "$bin/$(basename "$1")"
}
program /usr/bin/redis-server
program /usr/bin/erl
program /usr/bin/epmd
for script in "$root"/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/*; do
  program "${script#"$root"}"
done
echo "$bin"
