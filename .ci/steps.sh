# The steps of .ci/run and .ci/full, which source this. A step prints its name, what its commands print, and its time;
# the tests of ctest are counted one by one, any other step as one.

export DEBIAN_FRONTEND=noninteractive
packages=(g++ clang clang-tidy cmake ninja-build libxsimd-dev libeigen3-dev catch2 libbenchmark-dev libomp-dev
          libopenblas-dev libdnnl-dev nlohmann-json3-dev python3 pkg-config qemu-user g++-aarch64-linux-gnu rustc
          libopenmpi-dev openmpi-bin python3-dev pybind11-dev python3-numpy python3-pytest)
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

# readme_test [K/N]: README's test command; of unit tests, laws and oracles every N-th file from the K-th on. A warning
# that does not depend on optimisation is an error here; a user's compiler may know others.
readme_test() {
    cmake --preset release -DHEED_TEST_PART="${1:-}" -DCMAKE_CXX_FLAGS='-Werror=conversion -Werror=shadow -Werror=unused -Werror=sign-compare' &&
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
        for source in tests/budget/attend.cpp examples/guide/03_custom_normalizer.cpp bench/caches.cpp; do
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

# with_sdot ARCH SOURCE...: objects in build/aarch64-quads, for AArch64 that has SDOT, which the preset's has not.
with_sdot() {
    local arch=$1
    shift
    mkdir -p build/aarch64-quads
    printf '%s\n' "$@" | xargs -P 2 -I{} sh -c "aarch64-linux-gnu-g++ -std=c++20 -O1 -Wno-psabi -march=$arch -Iinclude \
        -Itests -idirafter build/portable_headers/include -c {} -o build/aarch64-quads/\$(basename {}).o"
}

# Register blocks of quads have the bits of those of pairs.
quads_under_qemu() {
    local to=build/aarch64-quads
    with_sdot armv8.2-a+dotprod tests/main.cpp tests/unit/quads.cpp &&
        aarch64-linux-gnu-g++ $to/{main,quads}.cpp.o -o $to/quads && qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu $to/quads
}

# And so have whole calls: the digests of caches, linked to the others of the preset.
digests_of_quads() {
    local of=build/aarch64/tests/CMakeFiles/heed-digests.dir/digests to=build/aarch64-quads
    with_sdot armv8.2-a+fp16+dotprod+i8mm tests/digests/caches.cpp &&
        aarch64-linux-gnu-g++ $to/caches.cpp.o $of/{forward,gradients,main}.cpp.o -o $to/heed-digests &&
        qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu $to/heed-digests tests/digests/[0-9]*.txt &&
        python3 tests/package/aarch64_code.py aarch64-linux-gnu-objdump $to/caches.cpp.o $of/{forward,gradients}.cpp.o
}

# foreign FOLDER TARGETS TESTS ARGUMENTS...: configures for another machine, builds targets and runs tests, a regular
# expression. CMAKE_FIND_ROOT_PATH is that machine's own; of this one, it finds headers alone.
foreign() {
    local to=build/$1 targets=$2 tests=$3
    shift 3
    portable_headers &&
        cmake -S . -B "$to" -G Ninja -DCMAKE_BUILD_TYPE=None -DHEED_BUILD_BENCH=OFF -DHEED_TEST_SOURCES=OFF \
            -DHEED_TEST_EXHAUSTIVE=OFF -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
            -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY "$@" &&
        cmake --build "$to" --target $targets && ctest --test-dir "$to" --output-on-failure -R "$tests"  # targets: words
}

# Machines of no layer of their own, under qemu: Debian's names of one and of its compiler, qemu's, and -march, which
# POWER spells -mcpu.
other_machines() {
    local rc=0 line triple package qemu arch flags
    while read -r triple package qemu arch flags; do
        need "g++-$package" qemu-user &&
            foreign "$triple" 'quickstart heed-unit heed-digests' '^(unit|digests)$' \
                -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$qemu" -DCMAKE_CXX_COMPILER="$triple-g++" \
                -DCMAKE_CXX_FLAGS="-O1 -Wno-psabi $flags" -DHEED_ARCH="${arch#-}" \
                -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-$qemu;-L;/usr/$triple" \
                -DCMAKE_FIND_ROOT_PATH="/usr/$triple;$PWD/build/portable_headers" &&
            "qemu-$qemu" -L "/usr/$triple" "build/$triple/examples/guide/quickstart" || { rc=1; echo "$triple FAILED"; }
    done <<'END'
riscv64-linux-gnu      riscv64-linux-gnu      riscv64  rv64gc
powerpc64le-linux-gnu  powerpc64le-linux-gnu  ppc64le  -        -mcpu=power8
s390x-linux-gnu        s390x-linux-gnu        s390x    z13
arm-linux-gnueabihf    arm-linux-gnueabihf    arm      armv7-a+fp
i686-linux-gnu         i686-linux-gnu         i386     i686     -msse2 -mfpmath=sse
END
    return $rc
}

# windows ARCH K/N: every N-th file of the unit tests from the K-th on, by mingw-w64 under wine. gcc aligns a stack of
# Windows to 16 bytes and stores registers of 32 as if it were to 32 (PR 54412): the assembler turns such moves into
# unaligned ones.
windows() {
    local target=x86_64-w64-mingw32
    need g++-mingw-w64-x86-64-posix wine64 &&
        WINEDEBUG=-all foreign "windows-$1" heed-unit '^unit$' \
            -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=AMD64 -DCMAKE_CXX_COMPILER=$target-g++-posix \
            -DCMAKE_CXX_FLAGS='-O1 -Wa,-mbig-obj -Wa,-muse-unaligned-vector-move' -DHEED_ARCH="$1" -DHEED_TEST_PART="$2" \
            -DCMAKE_EXE_LINKER_FLAGS=-static -DHEED_BUILD_EXAMPLES=OFF -DCMAKE_CROSSCOMPILING_EMULATOR=/usr/lib/wine/wine64 \
            -DCMAKE_FIND_ROOT_PATH="/usr/$target;$PWD/build/portable_headers"
}

# webassembly FILE...: tests of one file each, compiled by Emscripten and run by node. Exceptions are WebAssembly's own:
# those that go through JavaScript cannot pass a vector by value.
webassembly() {
    local to=build/webassembly source flags=(-std=c++20 -O1 -msimd128 -msse4.2 -fwasm-exceptions -Iinclude -Itests)
    local link=(-fwasm-exceptions -msimd128 -sALLOW_MEMORY_GROWTH -sSINGLE_FILE -sTOTAL_STACK=1MB)
    need emscripten nodejs node-acorn && portable_headers || return 1
    export NODE_PATH=/usr/share/nodejs
    mkdir -p $to
    printf '%s\n' tests/main.cpp "$@" | xargs -P 2 -I{} sh -c "em++ ${flags[*]} -isystem build/portable_headers/include \
        -c {} -o $to/\$(basename {}).o" && em++ "${link[@]}" $to/*.cpp.o -o $to/unit.js &&
        node --no-experimental-fetch $to/unit.js '~[exhaustive]'
}

# browser [ARCH]: the page of examples/browser, which must write what the storyteller of the release tells, or that of a
# build of its own for ARCH.
browser() {
    local to=build/release
    need emscripten nodejs node-acorn chromium chromium-driver python3-selenium libeigen3-dev || return 1
    if [[ ${1:-} ]]; then
        to=build/storyteller-$1
        cmake -S . -B "$to" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHEED_ARCH="$1" -DHEED_BUILD_BENCH=OFF &&
            cmake --build "$to" --target storyteller || return 1
    fi
    ctest --test-dir "$to" --output-on-failure -R '^browser$'
}

# fuzzers SECONDS: of each.
fuzzers() {
    need libclang-rt-14-dev && tests/fuzz/run "$1"
}

# The pages about the public headers, without a warning.
reference() {
    need doxygen && cmake -S . -B build/reference -G Ninja -DHEED_BUILD_TESTS=OFF -DHEED_BUILD_BENCH=OFF \
        -DHEED_BUILD_EXAMPLES=OFF && cmake --build build/reference --target reference
}

# watched PRESET: programs that a tool looks into.
watched() {
    need valgrind libomp-dev && cmake --workflow --preset "$1"
}

# digests_build COMPILER FLAGS...: a build of the digests of its own; prints the path of its folder.
digests_build() {
    local compiler=$1 to xsimd
    shift
    to=build/digests-$(printf '%s' "$compiler$*" | tr -cd 'a-z0-9')
    mkdir -p "$to"
    xsimd=$(sed -n 's/^XSIMD_INCLUDE_DIR:PATH=//p' build/release/CMakeCache.txt)
    printf '%s\n' tests/digests/*.cpp |
        xargs -P 2 -I{} sh -c "$compiler -std=c++20 $* -Iinclude -Itests -idirafter $xsimd -c {} -o $to/\$(basename {}).o" &&
        "$compiler" "$to"/*.o -o "$to/heed-digests" && echo "$to"
}

# digests_with COMPILER FLAGS...: compares the golden digests.
digests_with() {
    local to
    to=$(digests_build "$@") && "$to/heed-digests" tests/digests/[0-9]*.txt
}

# Builds without FMA have bits of their own, and all the same ones.
digests_without_fma() {
    local oldest to flags rc=0
    oldest=$(digests_build g++ -O2 -march=x86-64) && "$oldest/heed-digests" --print >"$oldest/printed.txt" || return 1
    for flags in '-O2 -march=x86-64-v2' '-O2 -mavx'; do
        # shellcheck disable=SC2086
        to=$(digests_build g++ $flags) && "$to/heed-digests" --as "$oldest/printed.txt" || rc=1
    done
    return $rc
}

digests_of_gcc() {
    step 'digests, g++ -O1' digests_with g++ -O1 -march=native
    step 'digests, g++ -O3, AVX2' digests_with g++ -O3 -march=x86-64-v3
}

# compilers: public headers in every compiler and standard that Debian has, without a warning, and some tests.
compilers() {
    local rc=0 compiler standard source flags to=build/compilers xsimd
    need g++-11 clang-16 clang-19 libc++-dev libc++abi-dev || return 1
    mkdir -p $to
    xsimd=$(sed -n 's/^XSIMD_INCLUDE_DIR:PATH=//p' build/release/CMakeCache.txt)
    while read -r compiler flags; do
        flags="$flags -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -Itests -idirafter $xsimd"
        for standard in 17 20 2b; do
            for source in tests/package/consumer.cpp tests/headers/shadowed.cpp; do
                # shellcheck disable=SC2086
                $compiler -std=c++$standard $flags -fsyntax-only $source || { rc=1; echo "$compiler c++$standard $source FAILED"; }
            done
        done
        # shellcheck disable=SC2086
        $compiler -std=c++20 -O1 $flags -Wno-error tests/main.cpp tests/unit/{simd_arch,semantics}.cpp -o $to/unit &&
            $to/unit || { rc=1; echo "$compiler $flags: tests FAILED"; }
    done <<'END'
g++-11 -march=x86-64-v3
g++-12 -march=x86-64-v4 -Wno-maybe-uninitialized
g++-12 -march=x86-64
clang++-14 -march=x86-64-v3
clang++-14 -march=x86-64-v3 -stdlib=libc++
clang++-16 -march=x86-64-v3
clang++-19 -march=x86-64-v3
clang++-19 -march=x86-64-v4
clang++-19 -march=x86-64
END
    return $rc
}

digests_of_others() {
    step 'digests, plain C++' digests_with g++ -O1 -march=x86-64-v3 -DHEED_PORTABLE
    step 'digests, clang++ -O3, AVX2' digests_with clang++ -O3 -march=x86-64-v3
}

# sanitized K/N: every N-th file of the unit tests from the K-th on, by AddressSanitizer and UBSan.
sanitized() {
    cmake --preset asan -DHEED_TEST_PART="$1" && cmake --build --preset asan && ctest --preset asan
}
