#!/bin/sh
# Write the database and the uploaded files of the stack into one file, and print its name.
# It is ../backup.sh, which takes the stack.sh beside the script that was started: the one of the Swarm.
# shellcheck source-path=SCRIPTDIR source=../backup.sh
. "$(dirname "$0")/../backup.sh"
