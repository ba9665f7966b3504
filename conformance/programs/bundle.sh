# shellcheck shell=bash
# Bundles of the suite: a root file system made of Debian packages with a fresh upper layer,
# run by either runtime. Sourced by run.sh, which sets:
: "${native:?}" "${sentry:?}" "${here:?}" "${roots:?}" "${made:?}"
scratch=$CAISSON_SUITE_SCRATCH/programs
mkdir -p "$scratch"
case $FORM in
    short) below=$roots/short:$roots/base scale=${SCALE:-4} ;;
    whole) below=$roots/whole:$roots/short:$roots/base scale=${SCALE:-100} ;;
    *) echo "programs: FORM is short or whole, not $FORM" >&2 && exit 2 ;;
esac

# What the head of a script says: `# forms: short whole; seconds: 60`, and perhaps
# `whole: 600`, the seconds of the whole form.
forms_of() { sed -n 's/^# forms: \([a-z ]*\);.*/ \1 /p' "$1"; }
limit_of() {
    local whole
    whole=$(sed -n 's/^# forms:.*; whole: \([0-9]*\).*/\1/p' "$1")
    if [[ $FORM == whole && -n $whole ]]; then
        echo "$whole"
    else
        sed -n 's/^# forms:.*seconds: \([0-9]*\).*/\1/p' "$1"
    fi
}

# Writes the bundle's config.json.
configure() { # bundle, words...
    "$native" spec --bundle "$1" && python3 "$here/config.py" "$1/config.json" "$here" "$made" "$scale" "${@:2}"
}

# Runs words in a fresh root; what they write, and how they end, is in NAME.LABEL.
# KEEP names folders of the root that are copied to $scratch/kept.LABEL afterwards.
run_inside() { # label (native or sentry), name, seconds, words...
    local label=$1 name=$2 limit=$3 runtime=${!1} bundle=$scratch/$1-$2 status=0
    shift 3
    mkdir -p "$bundle"/{upper,work,rootfs}
    mount -t overlay overlay -o "lowerdir=$below,upperdir=$bundle/upper,workdir=$bundle/work" "$bundle/rootfs"
    mkdir -p "$bundle/rootfs/etc"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$bundle/rootfs/etc/hosts"
    configure "$bundle" "$@"
    # What it has of its own to say goes elsewhere only if the program's is in the same pipe.
    timeout -k 5 $((limit * ${PATIENCE:-1})) "$runtime" --root "$scratch/state-$label" run --bundle "$bundle" \
        "programs-$label-$name" </dev/null 2>&1 | cat >"$scratch/$name.$label" || status=${PIPESTATUS[0]}
    echo "exit $status" >>"$scratch/$name.$label"
    ((status != 124 && status != 137)) ||
        timeout 60 "$runtime" --root "$scratch/state-$label" delete --force "programs-$label-$name" >/dev/null 2>&1
    if [[ -n ${KEEP:-} ]]; then
        rm -rf "$scratch/kept.$label"
        cp -a "$bundle/rootfs/$KEEP" "$scratch/kept.$label"
    fi
    umount "$bundle/rootfs"
    rm -rf "$bundle"
}
