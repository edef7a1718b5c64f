# The steps of .ci/run and .ci/full, which source this. A step prints its name, what its commands print, and its time;
# the tests of ctest are counted one by one, any other step as one.

export DEBIAN_FRONTEND=noninteractive
packages=(g++ clang clang-tidy cmake ninja-build libxsimd-dev libeigen3-dev catch2 libbenchmark-dev libomp-dev
          libopenblas-dev libdnnl-dev nlohmann-json3-dev python3 pkg-config qemu-user)
commits=$(git rev-list --count HEAD 2>/dev/null || echo 0)
passed=0 failed=0 skipped=0 times=""
mkdir -p build

# Installs what this machine lacks of some packages.
need() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    apt-get update -qq && apt-get install -y -qq "${missing[@]}"
}

# counted LOG: adds up the ctest run of a log; false where it has none.
counted() {
    local line bad total out
    line=$(grep -E '[0-9]+ tests failed out of [0-9]+' "$1" | tail -1)
    [[ $line ]] || return 1
    bad=$(sed -E 's/.* ([0-9]+) tests failed out of ([0-9]+).*/\1/' <<<"$line")
    total=$(sed -E 's/.* ([0-9]+) tests failed out of ([0-9]+).*/\2/' <<<"$line")
    out=$(grep -cE '\*\*\*Skipped' "$1" || true)
    failed=$((failed + bad)) skipped=$((skipped + out)) passed=$((passed + total - bad - out))
}

# step NAME COMMAND...: runs a command, a function or a program.
step() {
    local name=$1 begin=$SECONDS rc=0 log
    shift
    log=build/ci-${name//[^a-z0-9]/-}.log
    printf '\n== %s\n' "$name"
    "$@" > >(tee "$log") 2>&1 || rc=$?
    wait $! 2>/dev/null || true  # for tee
    if counted "$log"; then
        # a build that failed, or a ctest that failed without a test to blame
        if ((rc)) && ! grep -qE ' [1-9][0-9]* tests failed' "$log"; then failed=$((failed + 1)); fi
    elif ((rc)); then
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
    ((rc == 0)) || printf '== %s FAILED, rc %d\n' "$name" "$rc"
    times+=$(printf '%6d s  %s%s' $((SECONDS - begin)) "$name" "$( ((rc)) && echo '  FAILED' || true)")$'\n'
}

# The closing lines: what took how long, and the sum of all tests.
finish() {
    printf '\n%s%6d s  in all\n\n%d passed, %d failed, %d skipped\n' "$times" "$SECONDS" "$passed" "$failed" "$skipped"
    ((failed == 0))
}

# preset NAME [BUILD AND TEST PRESET]: configures, builds and tests.
preset() {
    cmake --preset "$1" && cmake --build --preset "${2:-$1}" && ctest --preset "${2:-$1}"
}

# A warning that does not depend on optimisation is an error here; a user's compiler may know others.
readme_test() {
    cmake --preset release -DCMAKE_CXX_FLAGS='-Werror=conversion -Werror=shadow -Werror=unused -Werror=sign-compare' &&
        cmake --workflow --preset test
    local rc=$?
    grep '^-- budget: ' build/release/Testing/Temporary/LastTest.log || true
    return $rc
}

# Whether clang takes the kernels of AVX-512, whatever this machine has.
clang_takes_avx512() {
    # after the system's own: as -isystem, /usr/include would come before libstdc++'s and break its include_next
    local rc=0 xsimd arch source
    xsimd=$(sed -n 's/^XSIMD_INCLUDE_DIR:PATH=//p' build/clang/CMakeCache.txt)
    for arch in x86-64-v4 'x86-64-v4 -mavx512bf16 -mavx512vbmi'; do
        # attend; backward and states; pages, quantised elements and append
        for source in tests/budget/attend.cpp examples/guide/custom_normalizer.cpp bench/caches.cpp; do
            # shellcheck disable=SC2086
            clang++ -std=c++20 -fsyntax-only -Wall -Wextra -march=$arch -Iinclude -idirafter "$xsimd" "$source" || rc=1
        done
    done
    return $rc
}

# Packages that are headers only, where a compiler for another machine finds them and nothing else of this one.
portable_headers() {
    local to=build/portable_headers
    mkdir -p $to/include $to/lib/cmake $to/share/eigen3
    cp -r /usr/include/xsimd /usr/include/catch2 /usr/include/eigen3 $to/include
    cp -r /usr/lib/cmake/Catch2 $to/lib/cmake
    cp -r /usr/share/eigen3/cmake $to/share/eigen3
    rm -f $to/lib/cmake/Catch2/Catch2Targets-*.cmake  # they name the library of this machine
}

aarch64() {
    need g++-aarch64-linux-gnu qemu-user && portable_headers && preset aarch64 "$1"
}

# fuzzers SECONDS: of each.
fuzzers() {
    need libclang-rt-14-dev && tests/fuzz/run "$1"
}

# watched PRESET: programs that a tool looks into.
watched() {
    need valgrind libomp-dev && cmake --workflow --preset "$1"
}

# digests_with COMPILER FLAGS...: compares the golden digests in a build of their own.
digests_with() {
    local compiler=$1 to xsimd source
    shift
    to=build/digests-$(printf '%s' "$compiler$*" | tr -cd 'a-z0-9')
    mkdir -p "$to"
    xsimd=$(sed -n 's/^XSIMD_INCLUDE_DIR:PATH=//p' build/release/CMakeCache.txt)
    printf '%s\n' tests/digests/*.cpp |
        xargs -P 2 -I{} sh -c "$compiler -std=c++20 $* -Iinclude -Itests -idirafter $xsimd -c {} -o $to/\$(basename {}).o" &&
        "$compiler" "$to"/*.o -o "$to/heed-digests" && "$to/heed-digests" tests/digests/[0-9]*.txt
}

digests_of_gcc() {
    step 'digests, g++ -O1' digests_with g++ -O1 -march=native
    step 'digests, g++ -O3, AVX2' digests_with g++ -O3 -march=x86-64-v3
}

digests_of_others() {
    step 'digests, plain C++' digests_with g++ -O1 -march=x86-64-v3 -DHEED_PORTABLE
    step 'digests, clang++ -O3, AVX2' digests_with clang++ -O3 -march=x86-64-v3
}

# sanitized K/N: every N-th file of the unit tests from the K-th on, by AddressSanitizer and UBSan.
sanitized() {
    cmake --preset asan -DHEED_TEST_PART="$1" && cmake --build --preset asan && ctest --preset asan
}
