#!/usr/bin/env bash
# Walks a running stack through every endpoint and strategy, and ends with 1 and one clear line at
# the first difference. Needs curl and python3. It changes the rollout of the worker's environment,
# starts a training run, and puts the primary version back at the end: not for production.
#
#   ops/test_rollout.sh URL VERSION VERSION [TOKEN]
#
# as in `ops/test_rollout.sh http://127.0.0.1:6066 v0.1 v0.2`. Both versions must be in the registry;
# TOKEN is RECSTREAM_API_TOKEN.
set -euo pipefail

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n '/^#   ops/s/^#   /usage: /p' "$0" >&2
  exit 2
fi
URL=${1%/} FIRST=$2 SECOND=$3 TOKEN=${4:-}
AUTHORIZED=()
[ -n "$TOKEN" ] && AUTHORIZED=(--header "Authorization: Bearer $TOKEN")
ME=test_rollout.sh
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
BODY=$FOLDER/body
STARTED=$(date -u +%Y-%m-%dT%H:%M:%SZ)
CHECKS=0
PYTHON=$(python3 -c 'import sys; print(sys.executable)') # not a wrapper: it is called often

# Compares the JSON in a file with path=value (equal) and path~value (contains) arguments.
JSON_CHECK='
import json, sys
file, *claims = sys.argv[1:]
with open(file, encoding="utf-8") as body:
    document = json.load(body)
for claim in claims:
    equal = claim.find("="), claim.find("~")
    at = min(place for place in equal if place >= 0)
    path, sign, wanted = claim[:at], claim[at], claim[at + 1 :]
    seen = document
    for word in filter(None, path.split(".")):
        try:
            seen = seen[int(word)] if isinstance(seen, list) else seen.get(word)
        except (IndexError, AttributeError):
            sys.exit(f"{path} is missing, {wanted} expected")
    text = seen if isinstance(seen, str) else json.dumps(seen)
    if not (wanted in text if sign == "~" else wanted == text):
        sys.exit(f"{path or chr(39) * 2} is {text[:300]}, {wanted} expected")
'

different() {
  echo "DIFFERENT: $*" >&2
  exit 1
}

# call METHOD PATH [curl arguments]: leaves the status in $STATUS and the body in $BODY
call() {
  local method=$1 path=$2
  shift 2
  STATUS=$(curl --silent --show-error --noproxy '*' --max-time 20 --output "$BODY" \
    --write-out '%{http_code}' --request "$method" "$@" "$URL$path") ||
    different "$method $path: no answer from $URL"
}

# expect STATUS METHOD PATH [JSON] [claims]: calls with the token, and checks status and claims
expect() {
  local wanted=$1 method=$2 path=$3 extra=()
  shift 3
  [ "$method" = HEAD ] && extra+=(--head)
  extra+=("${AUTHORIZED[@]}")
  if [[ ${1:-} == \{* ]]; then
    extra+=(--header 'Content-Type: application/json' --data "$1")
    shift
  fi
  call "$method" "$path" "${extra[@]}"
  [ "$STATUS" = "$wanted" ] ||
    different "$method $path: HTTP $STATUS, $wanted expected: $(head -c 500 "$BODY")"
  if [ $# -gt 0 ]; then
    local why
    why=$("$PYTHON" -IS -c "$JSON_CHECK" "$BODY" "$@" 2>&1) ||
      different "$method $path: ${why##*$'\n'}"
  fi
  CHECKS=$((CHECKS + 1))
}

# says TEXT: the last body holds it
says() {
  grep -qF -- "$1" "$BODY" || different "the last answer does not hold '$1'"
}

# field PATH: prints one field of the last body
field() {
  "$PYTHON" -IS -c 'import json, sys
seen = json.load(open(sys.argv[1], encoding="utf-8"))
for word in sys.argv[2].split("."):
    seen = None if seen is None else seen[word]
print("" if seen is None else seen)' "$BODY" "$1"
}

section() { echo "$*"; }

section 'probes and documents'
for _ in $(seq 60); do
  call GET /readyz
  [ "$STATUS" = 200 ] && break
  sleep 1
done
expect 200 GET /readyz ready=true
expect 200 GET /healthz status=ok
expect 200 GET /rollout/status
BEFORE=$(field state.primary_version)
expect 200 GET /
says '<main'
expect 200 HEAD /
expect 200 GET /metrics
says 'rollout_epoch'
expect 200 GET /openapi.json openapi~3.1 paths~/rollout/update
expect 200 GET /models "~\"$FIRST\"" "~\"$SECOND\""
expect 200 GET /training
expect 200 GET /fleet workers.0.worker~
expect 404 GET /trace/nobody-asked-this code=not_traced
expect 404 GET /nowhere status=404
expect 405 GET /rollout/update status=405
{ curl --silent --noproxy '*' --no-buffer --max-time 10 "${AUTHORIZED[@]}" "$URL/events" || true; } |
  grep -q -m 1 '^event: status' || different "GET /events: no 'event: status' within 10 s"

if [ -n "$TOKEN" ]; then
  section 'the token'
  call POST "/switch?model=$FIRST"
  [ "$STATUS" = 401 ] || different "POST /switch without a token: HTTP $STATUS, 401 expected"
  call POST "/switch?model=$FIRST" --header 'Authorization: Bearer wrong'
  [ "$STATUS" = 401 ] || different "POST /switch with a wrong token: HTTP $STATUS, 401 expected"
fi

section 'fixed'
expect 200 POST "/switch?model=$FIRST&issued_by=$ME" state.primary_version="$FIRST"
expect 200 POST '/rollout/update?strategy=fixed' state.strategy=fixed
call POST /rollout/abort ${TOKEN:+--header "Authorization: Bearer $TOKEN"} # if one is left
expect 422 POST /rollout/abort code=no_canary
expect 422 POST /rollout/promote code=no_canary
expect 422 POST '/rollout/update?strategy=canary' code=no_canary
expect 422 POST '/rollout/update?strategy=bandit' code=bad_strategy detail~shadow
expect 422 POST '/switch?model=v999.999' code=unusable_version
expect 422 POST '/rollout/update?canary_percent=10' detail~canary_percent
expect 422 POST /rollout/update '{"strategy": 1' status=422

section 'canary'
expect 200 POST "/rollout/update?strategy=canary&canary_version=$SECOND&canary_percentage=10" \
  state.strategy=canary state.canary_version="$SECOND" state.canary_percentage=10.0
EPOCH=$(field epoch)
expect 200 POST '/rollout/update?canary_percentage=25' \
  state.strategy=canary state.canary_version="$SECOND" state.canary_percentage=25.0
expect 409 POST "/rollout/update?canary_percentage=50&expected_epoch=$EPOCH" code=stale_epoch
expect 422 POST '/rollout/update?canary_percentage=12.5' code=bad_percentage detail~hash
expect 422 POST '/rollout/update?canary_percentage=101' code=bad_percentage
expect 200 POST /rollout/update '{"bucketing": "hash", "salt": "s", "canary_percentage": 12.5}' \
  state.bucketing=hash state.salt=s state.canary_percentage=12.5
expect 200 GET /rollout/status state.canary_percentage=12.5

section 'ab_test, shadow'
expect 200 POST '/rollout/update?strategy=ab_test' state.strategy=ab_test
expect 200 POST '/rollout/update?strategy=shadow&shadow_sample_percentage=20' \
  state.strategy=shadow state.shadow_sample_percentage=20.0

section 'promote, rollback, swap'
expect 200 POST /rollout/promote \
  state.strategy=fixed state.primary_version="$SECOND" state.canary_version=null
expect 200 POST /rollout/rollback state.primary_version="$FIRST"
if [ -n "$TOKEN" ]; then # without a token, GET must not write
  expect 200 GET "/switch?model=$SECOND" state.primary_version="$SECOND"
else
  expect 403 GET "/switch?model=$SECOND" detail~POST
fi
ID="$ME-$$-$RANDOM"
expect 200 POST "/switch?model=$FIRST&command_id=$ID" status=applied
expect 200 POST "/switch?model=$FIRST&command_id=$ID" status=duplicate

section 'a ramp'
expect 422 POST /rollout/pause code=no_ramp
expect 422 POST /rollout/resume code=no_ramp
RAMP='"ramp": {"steps": [50, 100], "hold_seconds": 600}'
expect 422 POST /rollout/update \
  "{\"canary_version\": \"$SECOND\", \"ramp\": {\"steps\": [50, 5], \"hold_seconds\": 1}}" \
  code=bad_ramp
expect 200 POST /rollout/update \
  "{\"canary_version\": \"$SECOND\", \"bucketing\": \"modulo\", \"reason\": \"$ME\", \"fit\": null, $RAMP}" \
  state.strategy=canary state.ramp.stage=0
expect 200 POST /rollout/pause state.ramp.paused=true
expect 422 POST /rollout/pause code=ramp_paused
expect 200 GET /fleet ramp.action=hold
expect 200 POST /rollout/resume state.ramp.stage~
expect 200 POST "/rollout/abort?issued_by=$ME&reason=seen+enough" \
  state.strategy=fixed state.canary_version=null state.ramp.outcome=rolled_back

section 'history'
expect 200 GET '/rollout/history?limit=1' 0.type=abort 0.reason='seen enough' 0.status=applied
expect 200 GET '/rollout/history?type=promote&limit=1' "0.after.primary_version=$SECOND"
expect 200 GET "/rollout/history?issued_by=$ME&since=$STARTED" 0.type=abort 1.type=swap
expect 200 GET '/rollout/history?until=2000-01-01T00:00:00Z' =[]
expect 422 GET '/rollout/history?limit=0' status=422
expect 422 GET '/rollout/history?type=party' detail~rollback
expect 422 GET '/rollout/history?since=yesterday' status=422

section 'training'
expect 200 POST "/retrain?deploy=none&issued_by=$ME" status=applied
RUN=$(field command_id)
for _ in $(seq 100); do
  call GET /training "${AUTHORIZED[@]}"
  grep -qF "$RUN" "$BODY" && break
  sleep 0.1
done
expect 200 GET /training "run_id=$RUN"

if [ -n "$BEFORE" ]; then
  expect 200 POST "/switch?model=$BEFORE&reason=as+before+$ME" "state.primary_version=$BEFORE"
fi
echo "all $CHECKS calls were answered as expected"
