// SPDX-License-Identifier: MIT
#include "../tensors.hpp"
#include "small_run.hpp"

#include "../../examples/twins/adamw.hpp"
#include "../../examples/twins/files.hpp"

using namespace twins;
using test::small_run;

namespace {

training_state trained(const settings& s, int threads, int64 steps)
{
    const auto t = make_bigram_backcopy();
    heed::thread_pool pool(threads);
    trainer run(s, *t, pool);
    while (run.state().step < steps) run.step();
    return run.state();
}

void require_same(const training_state& a, const training_state& b)
{
    REQUIRE(a.step == b.step);
    REQUIRE(test::same_bits(a.parameters, b.parameters));
    REQUIRE(test::same_bits(a.moment1, b.moment1));
    REQUIRE(test::same_bits(a.moment2, b.moment2));
    REQUIRE(test::same_bits(a.curve.step, b.curve.step));
    REQUIRE(test::same_bits(a.curve.training, b.curve.training));
    REQUIRE(test::same_bits(a.curve.validation, b.curve.validation));
}

}  // namespace

TEST_CASE("training lowers the loss, whatever the normalizer")
{
    // 5.56 nats is knowing nothing of 259 tokens, 3.5 is knowing how often each comes, 2.9 is knowing what follows
    // what.
    for (const auto& [name, formula, learned_from] : normalizers()) {
        settings run = small_run(name, 300);
        run.batch = 16;
        const training_state s = trained(run, 2, run.steps);
        INFO(name << ": " << s.curve.validation.front() << " to " << s.curve.validation.back());
        std::printf("twins: %s learns from %.2f to %.2f nats\n", name.c_str(), s.curve.validation.front(),
                    s.curve.validation.back());
        CHECK(s.curve.validation.back() < 2.75);
        CHECK(s.curve.validation.back() > bigram_backcopy_bound(run.shape.context));
        CHECK(s.curve.training.back() < 2.75);
    }
}

TEST_CASE("the same seed gives the same bits with 1, 2 and 5 threads, and another seed gives others")
{
    for (const std::string name : {"softmax", "softpick", "sink", "entmax15", "scalable-softpick"}) {
        settings s = small_run(name, 12);
        const training_state one = trained(s, 1, 12);
        require_same(one, trained(s, 2, 12));
        require_same(one, trained(s, 5, 12));
        s.seed = 2;
        REQUIRE(!test::same_bits(one.parameters, trained(s, 1, 12).parameters));
    }
}

TEST_CASE("twins start alike to the bit and see the same batches")
{
    const config c = small_run("", 1).shape;
    const layout plain(c, false), with_sinks(c, true);
    const auto a = initial_parameters<float>(plain, 7), b = initial_parameters<float>(with_sinks, 7);
    REQUIRE(b.size() == a.size() + static_cast<std::size_t>(c.layers * c.heads));
    REQUIRE(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    REQUIRE(std::all_of(b.begin() + static_cast<std::ptrdiff_t>(a.size()), b.end(), [](float z) { return z == 0; }));
}

TEST_CASE("a run that was interrupted and resumed has the bits of one that was not")
{
    const test::folder folder("twins-resume");
    const auto t = make_bigram_backcopy();
    heed::thread_pool pool(2);
    for (const std::string name : {"softpick", "sink"}) {
        const settings s = small_run(name, 90);  // a point of the curve every second step
        const training_state whole = trained(s, 2, 23);
        write_training_state(trained(s, 2, 11), s, folder / "state");
        trainer rest(s, *t, pool);
        rest.go_on_from(read_training_state(s, rest.places(), folder / "state"));
        while (rest.state().step < 23) rest.step();
        require_same(whole, rest.state());
    }
}

TEST_CASE("a run that was extended, twice, has the bits of one that had all steps from the beginning")
{
    const test::folder folder("twins-extended");
    const auto t = make_bigram_backcopy();
    heed::thread_pool pool(2);
    settings s = small_run("sink", 81);  // a point of the curve every second step, and at the last
    const auto goes_on = [&](std::int64_t extend) {
        s.extend = extend;
        trainer rest(s, *t, pool);
        rest.go_on_from(read_training_state(s, rest.places(), folder / "state"));
        while (!rest.done()) rest.step();
        write_training_state(rest.state(), s, folder / "state");
        return rest.state();
    };
    write_training_state(trained(s, 2, 81), s, folder / "state");
    REQUIRE(goes_on(4).curve.step.back() == 85);  // no step that others have a point at
    const training_state twice = goes_on(11);
    require_same(twice, trained(s, 2, 92));
    REQUIRE(twice.curve.step.back() == 92);
    REQUIRE(std::count(twice.curve.step.begin(), twice.curve.step.end(), 81) == 1);
    REQUIRE(std::count(twice.curve.step.begin(), twice.curve.step.end(), 85) == 0);

    s.extend = 5;
    REQUIRE(test::refusal([&] { read_training_state(s, layout_of(s.shape, "sink"), folder / "state"); }) ==
            (folder / "state") + ": was made with extend 11, this run has extend 5");
    s.extend = 0;
    REQUIRE(test::refusal([&] { read_training_state(s, layout_of(s.shape, "sink"), folder / "state"); }) ==
            (folder / "state") + ": was made with extend 11, this run has none");
}

TEST_CASE("checkpoints that are foreign, damaged or cut are refused in one line")
{
    const test::folder folder("twins-refused");
    const std::string path = folder / "state";
    const settings s = small_run("softpick", 40);
    const layout at(s.shape, false);
    write_training_state(trained(s, 1, 2), s, path);
    const auto refused = [&](const settings& of) {
        return test::refusal([&] { read_training_state(of, layout(of.shape, false), path); });
    };
    REQUIRE(refused(s).empty());

    settings other = s;
    other.normalizer = "softmax";
    REQUIRE(refused(other) == path + ": was made with normalizer softpick, this run has normalizer softmax");
    other = s;
    other.shape.dim = 64;
    REQUIRE(refused(other) == path + ": was made with dim 32, this run has dim 64");
    other = s;
    other.rate = 0.02;
    REQUIRE(refused(other) == path + ": was made with rate 0.01, this run has rate 0.02");

    const std::vector<char> good = llama2c::read_file(path);
    random_stream random{1};
    for (int i = 0; i < 300; ++i) {
        std::vector<char> bad = good;
        char& byte = bad[static_cast<std::size_t>(random.below(static_cast<int64>(bad.size())))];
        byte = static_cast<char>(byte ^ (1 << random.below(8)));
        if (i % 3 == 1)
            bad = std::vector<char>(good.begin(), good.begin() + random.below(static_cast<int64>(good.size())));
        if (i % 3 == 2) bad.push_back(0);
        write_whole(path, bad);
        const std::string says = refused(s);
        CAPTURE(i, says);
        REQUIRE(says.rfind(path + ": ", 0) == 0);
    }
    std::string older(good.begin(), good.end());
    older.replace(0, older.find('\n'), "twins training state 1");
    write_whole(path, older);
    REQUIRE(refused(s) == path + ": was made by an older twins, which alone can go on with it");
    write_whole(path, std::string("hello"));
    REQUIRE(refused(s) == path + ": is no training state of twins");
    std::filesystem::remove(path);
    REQUIRE(refused(s) == path + ": cannot be opened");
}

TEST_CASE("a file that cannot be written says why, and leaves nothing behind")
{
    const test::folder folder("twins-files");
    const std::string bytes(100, 'x');
    std::filesystem::create_directory(folder / "taken");
    REQUIRE(test::refusal([&] { write_whole(folder / "taken", bytes); }) ==
            (folder / "taken") + ": cannot be written: Is a directory");
    REQUIRE(test::refusal([&] { write_whole(folder / "no/where", bytes); }) ==
            (folder / "no/where") + ": cannot be written: No such file or directory");
    REQUIRE(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
    write_whole(folder / "file", bytes);
    write_whole(folder / "file", std::string("new"));
    REQUIRE(llama2c::read_file(folder / "file") == std::vector<char>{'n', 'e', 'w'});
    REQUIRE(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 2);
}

TEST_CASE("the learning rate warms up, and falls to a tenth along a cosine")
{
    settings s;
    s.steps = 1000;
    REQUIRE(s.warm_up() == 100);
    REQUIRE(learning_rate(1, 100, 1000, 0.01) == Approx(1e-4));
    REQUIRE(learning_rate(100, 100, 1000, 0.01) == Approx(0.01));
    REQUIRE(learning_rate(550, 100, 1000, 0.01) == Approx(0.0055));
    REQUIRE(learning_rate(1000, 100, 1000, 0.01) == Approx(0.001));
    REQUIRE(learning_rate(2000, 100, 1000, 0.01) == learning_rate(1000, 100, 1000, 0.01));  // of an extension
}
