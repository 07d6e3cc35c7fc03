# What the commands of a page mean while it is tested (pages.py says the rules). Told by the harness: PORT, PORTS, LOGS, NODE.
set -Eeuo pipefail
trap 'echo "line $LINENO: $BASH_COMMAND: exit $?" >&2' ERR
declare -A RUNNING=() STARTED=()
EXPECTED=""
PASSWORD_TYPED="correct horse battery staple"

curl() {  # an answer of 400 or more is a failure, unless the line says that it is meant, or prints the status itself
    local heads; heads=$(mktemp "$LOGS/heads.XXXXXX")
    command curl -D "$heads" "$@" || return $?
    [[ "$*" == *http_code* ]] && return 0
    local status; status=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$heads" | tail -n 1)
    if [[ "${EXPECTED:-}" ]]; then
        [[ "$status" == "$EXPECTED" ]] || { echo "curl: $status, and the page says $EXPECTED" >&2; return 98; }
    elif [[ "${status:-0}" -ge 400 ]]; then
        echo "curl: $status, and the page does not say so" >&2; return 98
    fi
}

exited() {  # what it did, what the page says
    [[ "$1" == "$2" ]] || { echo "exit $1, and the page says $2" >&2; exit 97; }
}

watchword() {
    case "${1-} ${2-}" in
        serve*) shift; _serve "" watchword serve "$@" ;;
        "users add" | "users set-password")
            if [[ -p /dev/stdin || -f /dev/stdin ]]; then command watchword "$@"
            else command watchword "$@" <<<"$PASSWORD_TYPED"; fi ;;
        *) command watchword "$@" ;;
    esac
}

uvicorn() {
    local words=() word
    for word in "$@"; do [[ "$word" == --reload ]] || words+=("$word"); done
    _serve "http://localhost" uvicorn "${words[@]}"
}

sh() {  # an example's own script migrates, and then serves
    case "${1-}" in
        run.sh) _serve "http://localhost" sh "$@" ;;
        *) command sh "$@" ;;
    esac
}

python3() {
    case "${1-} ${2-}" in
        "-m venv") mkdir -p "$3/bin"; : >"$3/bin/activate"; return ;;  # the programs stay those that run this test
    esac
    case "${1-}" in
        scripts/serve) shift; watchword serve "$@" ;;
        scripts/*) : ;;  # checked to be there; what they do is what runs this test
        *) command python3 "$@" ;;
    esac
}

pip() { :; }  # its words are checked by the harness

node() { command node --no-warnings --experimental-webstorage --localstorage-file="$LOGS/storage" --import "$NODE" "$@"; }

_serve() {  # where its issuer is when nothing else is said, command…
    local issuer=$1 port=$PORT previous="" word; shift
    for word in "$@"; do [[ "$previous" == --port ]] && port=$word; previous=$word; done
    [[ " $* " == *" --port "* ]] || set -- "$@" --port "$port"
    [[ -z "$issuer" || -n "${WATCHWORD_ISSUER:-}" ]] || set -- env "WATCHWORD_ISSUER=$issuer:$port" "$@"
    [[ "${RUNNING[$port]:-}" ]] && _stop "$port"
    STARTED[$port]="$*"
    command "$@" >>"$LOGS/server-$port.log" 2>&1 </dev/null &
    RUNNING[$port]=$!
    _wait "$port"
}

_wait() {
    local port=$1 tries
    for tries in {1..600}; do
        command curl -s -o "$LOGS/ready" "http://localhost:$port/openapi.json" && return 0
        kill -0 "${RUNNING[$port]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "no server on port $port: ${STARTED[$port]}" >&2
    tail -n 20 "$LOGS/server-$port.log" >&2
    return 96
}

_stop() {
    kill "${RUNNING[$1]}" 2>/dev/null || true
    wait "${RUNNING[$1]}" 2>/dev/null || true
    unset "RUNNING[$1]"
}

_restart() {  # those that serve a file of the page, after it has changed
    local port words
    for port in "${!RUNNING[@]}"; do
        read -ra words <<<"${STARTED[$port]}"
        [[ " ${STARTED[$port]} " == *" uvicorn "* ]] || continue
        _stop "$port"
        command "${words[@]}" >>"$LOGS/server-$port.log" 2>&1 </dev/null &
        RUNNING[$port]=$!
        _wait "$port"
    done
}

_ensure() {  # a server on the page's first port
    [[ "${RUNNING[$PORT]:-}" ]] && return 0
    if [[ -f main.py ]]; then uvicorn main:app; else watchword serve; fi
}

_end() {
    local port
    for port in "${!RUNNING[@]}"; do _stop "$port"; done
}
