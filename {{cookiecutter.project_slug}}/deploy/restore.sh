#!/bin/sh
# Replace the database and the media of the production stack by those of a backup: restore.sh FILE
set -eu
# shellcheck source-path=SCRIPTDIR source=stack.sh
. "$(dirname "$0")/stack.sh"

file="${1:-}"
[ -n "$file" ] || fail "Say which backup: make restore FILE=backups/NAME.tar.gz"
[ -f "$file" ] || fail "There is no file $file; nothing was changed."

mkdir -p backups
mkdir "backups/.restore.$$"
work="backups/.restore.$$"
members="$(tar -tzf "$file" 2>/dev/null)" ||
    fail "$file is damaged, or not an archive; nothing was changed."
[ "$members" = "SHA256SUMS
$dump
media.tar" ] || fail "$file is not a backup of this kind of database: it has no $dump; nothing was changed."
tar -xzf "$file" -C "$work"
(cd "$work" && sha256sum "$dump" media.tar | cmp -s - SHA256SUMS) ||
    fail "$file is damaged: its parts are not what its list says; nothing was changed."

printf 'All data of %s will be replaced by those of %s. Type yes to go on: ' "$STACK" "$file"
read -r answer || answer=
[ "$answer" = yes ] || fail "Nothing was changed."

# An empty stack has no volume yet
full=
! docker volume inspect "${STACK}_db" >/dev/null 2>&1 || full=yes
! docker volume inspect "${STACK}_uploads" >/dev/null 2>&1 || full=yes

safety=
progress=unchanged
on_exit() {
    status=$?
    clean_up
    [ "$status" = 0 ] || case "$progress" in
        unchanged)
            echo "No data was changed." >&2
            [ -z "$full" ] || start --no-recreate || true
            ;;
        replacing)
            echo "The data may be incomplete now, so the site stays stopped: restore again, $file" \
                "${safety:+or what was there, $safety}" >&2
            ;;
        replaced) echo "The data is that of $file, but the site did not start." >&2 ;;
    esac
}
trap on_exit EXIT

if ! on_swarm; then
    docker compose --progress quiet up --no-start --no-recreate
    [ "$server" = migrate ] ||
        docker compose --progress quiet up --detach --wait --no-deps --no-recreate "$server"
fi
open_stack
# shellcheck disable=SC2046 # a list of words
stop $(writers)
if [ -n "$full" ]; then
    safety="$(sh deploy/backup.sh)"
    echo "What was there is in $safety"
fi

progress=replacing
docker exec -i "$database" sh -euc "$(
    cat <<'END'
{{ cookiecutter._databases[cookiecutter.database].load | join("\n") }}
END
)" <"$work/$dump"
# Apart, because the end of the input may come too early
docker exec "$database" sh -euc "$(
    cat <<'END'
{{ cookiecutter._databases[cookiecutter.database].swap | join("\n") }}
END
)"
docker exec -i "$files" sh -euc 'cd "$MEDIA_ROOT"
    find . -mindepth 1 -delete
    # Without the first component, the folder itself, which belongs to root
    tar -x --preserve-permissions --strip-components=1' <"$work/media.tar"
progress=replaced

start --no-recreate
echo "$STACK has the data of $file."
