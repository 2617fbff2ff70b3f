#!/usr/bin/env bash
# One gate in a CI: what the action (action.yml) and the template for GitLab (gitlab.yml) run. Its inputs are variables, described there.
# Everything goes to $FOLDER; a summary to $GITHUB_STEP_SUMMARY and outputs to $GITHUB_OUTPUT, where these are set.
set -uo pipefail

: "${SCALEMARK:=scalemark}" "${BASE_REF:=}" "${BENCH:=}" "${BASE_COMMAND:=}" "${HEAD_COMMAND:=}" "${ARGUMENTS:=}" "${UNDECIDED:=pass}"
FOLDER=${FOLDER:-target/gate/ci}
case $UNDECIDED in
pass | fail) ;;
*) echo "error: undecided is pass or fail, not $UNDECIDED" >&2; exit 2 ;;
esac

what=()
if [ -n "$BASE_COMMAND$HEAD_COMMAND" ]; then
  what=(--command --base "$BASE_COMMAND" --head "$HEAD_COMMAND")
elif [ -n "$BENCH" ]; then
  what=(--criterion --bench "$BENCH" --base-ref "$BASE_REF")
else
  what=(--base-ref "$BASE_REF")
fi
# Options with their quotes, as a shell reads them.
eval "more=($ARGUMENTS)"

mkdir -p "$FOLDER"
annotations=()
[ -n "${GITHUB_ACTIONS:-}" ] && annotations=(--github)
"$SCALEMARK" gate pair "${what[@]}" --out "$FOLDER" --json "$FOLDER/gate.json" --markdown "$FOLDER/gate.md" \
  --junit "$FOLDER/gate.xml" --sarif "$FOLDER/gate.sarif" ${annotations[@]+"${annotations[@]}"} ${more[@]+"${more[@]}"}
code=$?

case $code in
0) verdict=passed ;;
1) verdict=slower ;;
3) verdict=undecided ;;
*) exit "$code" ;;
esac
[ -n "${GITHUB_STEP_SUMMARY:-}" ] && cat "$FOLDER/gate.md" >>"$GITHUB_STEP_SUMMARY"
[ -n "${GITHUB_OUTPUT:-}" ] && printf 'verdict=%s\nfolder=%s\n' "$verdict" "$FOLDER" >>"$GITHUB_OUTPUT"
[ "$code" = 3 ] && [ "$UNDECIDED" = pass ] && exit 0
exit "$code"
