#!/bin/sh
# Write the database and the media of the production stack into one file, and print its name
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

name="$STACK-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
mkdir -p backups
chmod 700 backups
mkdir "backups/.$name.part"
work="backups/.$name.part"
open_stack

# The database first, so that every file which its rows name is still to come
docker exec "$database" sh -euc "$(
    cat <<'END'
{{ cookiecutter._databases[cookiecutter.database].dump | join("\n") }}
END
)" >"$work/$dump" || fail "No backup: the database could not be read."

# 1: a file came, went or grew meanwhile, so it is none that the rows name
docker exec "$files" sh -euc 'tar -c --directory "$MEDIA_ROOT" \
    --warning=no-file-changed --warning=no-file-removed . || [ $? = 1 ]' >"$work/media.tar" ||
    fail "No backup: the media could not be read."

(cd "$work" && sha256sum "$dump" media.tar >SHA256SUMS &&
    tar -czf archive SHA256SUMS "$dump" media.tar && sync archive) || fail "No backup: it could not be written."
[ ! -e "backups/$name" ] || fail "No backup: backups/$name is there already."
mv "$work/archive" "backups/$name"
echo "backups/$name"
