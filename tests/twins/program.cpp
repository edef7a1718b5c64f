// SPDX-License-Identifier: MIT
// The twins binary from outside: a run, Ctrl-C, and what it refuses.
#include "run_twins.hpp"

#include "../../examples/twins/attention.hpp"
#include "../../examples/twins/command_line.hpp"
#include "../../examples/twins/files.hpp"

#include <csignal>
#include <sstream>
#include <unistd.h>

using test::folder;
using test::run;
using test::size;

namespace {

/// Starts a run, sends it SIGINT as soon as its checkpoint is there, and gives its exit status.
int interrupted_run(const std::string& arguments, const std::string& checkpoint)
{
    const pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", ("exec " + std::string(HEED_TWINS) + " " + arguments + " > /dev/null").c_str(),
              nullptr);
        _exit(127);
    }
    int status = 0;
    while (!std::filesystem::exists(checkpoint) && waitpid(child, &status, WNOHANG) == 0) usleep(1000);
    kill(child, SIGINT);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("twins are trained, interrupted, resumed and reported on, with the files of a run that was not interrupted")
{
    const folder whole("twins-whole"), parts("twins-parts");
    const std::string arguments = "train softmax softpick --steps 60 --rate 0.01 --bf16" + size + "--out ";
    const auto [text, code] = run(arguments + whole.path);
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(text.find(" softpick\nloss, nats a token\n") != std::string::npos);
    REQUIRE(text.find("attention.svg") != std::string::npos);

    REQUIRE(interrupted_run(arguments + parts.path, parts / "softmax.train") == 130);
    REQUIRE(!std::filesystem::exists(parts / "softmax.bin"));
    const auto [again, refused] = run(arguments + parts.path);
    REQUIRE(refused == 2);
    REQUIRE(again.find("--resume goes on with it") != std::string::npos);
    REQUIRE(run(arguments + parts.path + " --resume").second == 0);
    for (const std::string name : {"softmax.bin", "softpick.bin", "softmax.heed", "softpick.heed", "softmax.train"})
        REQUIRE(llama2c::read_file(whole / name) == llama2c::read_file(parts / name));

    const auto [report, status] =
        run("report " + (whole / "softmax.bin") + " " + (whole / "softpick.bin") + " --windows 4 --out " + parts.path);
    INFO(report);
    REQUIRE(status == 0);
    // The same numbers, below a line that says another command.
    const auto numbers = [](const std::string& t) { return t.substr(t.find("loss, nats"), 1200); };
    REQUIRE(numbers(report) == numbers(text));
}

TEST_CASE("the line that goes on with a run is read by a shell as it was written, blanks and quotes included")
{
    for (const std::string name : {"plain", "two words", "it's", "a\"b$HOME`c\\d", "*"}) {
        std::vector<std::string> words{"twins", "train", "softmax", "--task", "text", "--file", name, "--out", name};
        std::vector<char*> pointers;
        for (std::string& w : words) pointers.push_back(w.data());
        const std::string line =
            twins::resume_line(twins::parse_command(static_cast<int>(words.size()), pointers.data()));
        // As `printf` gets them: a word a line.
        std::FILE* const pipe = popen(("printf '%s\\n' " + line).c_str(), "r");
        REQUIRE(pipe);
        std::string text;
        for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
        REQUIRE(pclose(pipe) == 0);
        REQUIRE(text.find("\n--file\n" + name + "\n") != std::string::npos);
        REQUIRE(text.find("\n--out\n" + name + "\n") != std::string::npos);
    }
}

TEST_CASE("twins of several seeds are the runs of each, and the table has their mean and range")
{
    const folder several("twins-seeds"), alone("twins-seed-2");
    const std::string arguments = "train softmax softpick --steps 30 --rate 0.01" + size;
    const auto [text, code] = run(arguments + "--seeds 1,2 --out " + several.path);
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(text.find("mean (lowest to highest) of 2 seeds") != std::string::npos);
    REQUIRE(text.find("--seeds") != std::string::npos);
    REQUIRE(run(arguments + "--seed 2 --out " + alone.path).second == 0);
    for (const std::string name : {"softmax", "softpick"})
        REQUIRE(llama2c::read_file(alone / (name + ".bin")) == llama2c::read_file(several / (name + "-seed2.bin")));

    double loss[2];
    for (const int seed : {1, 2}) {
        const std::string path = several / ("softmax-seed" + std::to_string(seed) + ".bin");
        const std::string one = run("report " + path + " --out " + alone.path).first;
        loss[seed - 1] = std::stod(one.substr(one.find("validation") + 10));
    }
    char expected[64];
    std::snprintf(expected, sizeof(expected), " (%.4f to %.4f)", std::min(loss[0], loss[1]),
                  std::max(loss[0], loss[1]));
    REQUIRE(text.find(expected) != std::string::npos);

    const auto [report, status] = run("report " + (several / "*.bin") + " --out " + alone.path);
    REQUIRE(status == 2);  // tokenizer.bin is no model
    const auto [mixed, mixed_code] = run("report " + (several / "*-seed?.bin") + " --out " + alone.path);
    INFO(mixed);
    REQUIRE(mixed_code == 0);
    REQUIRE(mixed.find(expected) != std::string::npos);
    const auto [again, done] = run(arguments + "--seeds 1,2,3 --resume --out " + several.path);
    REQUIRE(done == 0);
    REQUIRE(again.find("of 3 seeds") != std::string::npos);
}

TEST_CASE("the curve's last point is the table's validation loss")
{
    const folder out("twins-curve");
    REQUIRE(run("train softmax --steps 20" + size + "--out " + out.path).second == 0);
    const auto [report, code] = run("report " + (out / "softmax.bin") + " --out " + out.path);
    const std::vector<char> bytes = llama2c::read_file(out / "softmax.heed");
    const std::string beside(bytes.begin(), bytes.end());
    std::istringstream last(beside.substr(beside.rfind("curve ")));
    std::string word;
    double step, training, validation;
    last >> word >> step >> training >> validation;
    char expected[32];
    std::snprintf(expected, sizeof(expected), "%.4f", validation);
    INFO(report << expected);
    REQUIRE(report.find(expected, report.find("validation")) < report.find("heads"));
}

TEST_CASE("a report on another text than the model learnt is refused, one on held-out text is not")
{
    const folder out("twins-texts");
    std::string text;
    for (int i = 0; text.size() < 983040 + 100; ++i) text += "line " + std::to_string(i) + "\n";
    twins::write_whole(out / "a.txt", text);
    text[12345] = '!';
    twins::write_whole(out / "b.txt", text);
    const auto [trained, code] =
        run("train softmax --task text --file " + (out / "a.txt") + " --steps 2" + size + "--out " + out.path);
    INFO(trained);
    REQUIRE(code == 0);
    const std::string report = "report " + (out / "softmax.bin") + " --out " + out.path;
    REQUIRE(run(report + " --file " + (out / "a.txt")).second == 0);
    const auto [says, refused] = run(report + " --file " + (out / "b.txt"));
    REQUIRE(refused == 2);
    REQUIRE(says.rfind("twins: " + (out / "b.txt") + ": is not the text that " + (out / "softmax.bin") + " learnt",
                       0) == 0);
    REQUIRE(run(report + " --held-out " + (out / "b.txt")).second == 0);

    // Sidecars did not always name the text.
    const std::vector<char> bytes = llama2c::read_file(out / "softmax.heed");
    std::string beside(bytes.begin(), bytes.end());
    const std::size_t at = beside.find("\ntext ");
    REQUIRE(at != std::string::npos);
    beside.erase(at, beside.find('\n', at + 1) - at);
    twins::write_whole(out / "softmax.heed", beside);
    REQUIRE(run(report + " --file " + (out / "b.txt")).second == 0);
}

TEST_CASE("models of letters and digits have nothing to tell")
{
    const folder out("twins-tell");
    REQUIRE(run("train softmax --steps 2" + size + "--out " + out.path).second == 0);
    REQUIRE(
        run("tell " + (out / "softmax.bin")) ==
        std::pair{"twins: " + (out / "softmax.bin") + ": has learnt bigram-backcopy, and tell is for models of text\n",
                  2});
}

TEST_CASE("help is asked for and comes on stdout, a mistake is told on stderr")
{
    for (const std::string verb : {"", "train", "report", "compare", "tell", "box"}) {
        INFO(verb);
        const auto [help, code] = run(verb + " --help", "2>/dev/null");
        CHECK(code == 0);
        CHECK(help.rfind("usage: twins " + verb, 0) == 0);
        CHECK(help == run(verb + " -h", "2>/dev/null").first);
    }
    CHECK(run("train --help").first.find("A text needs 983,040\n") != std::string::npos);
    for (const twins::normalizer& n : twins::normalizers())
        CHECK(run("train --help").first.find("\n  " + n.name + " ") < run("train --help").first.find(n.formula + "\n"));
    for (const std::string mistake : {"", "train", "report", "compare", "tell", "dance", "train softmax --what 1"})
        CHECK(run(mistake, "2>/dev/null") == std::pair{std::string(), 2});
}

TEST_CASE("a finished run is extended, to the files of one that had all steps from the beginning")
{
    const folder parts("twins-extend"), whole("twins-extend-whole");
    const std::string arguments = "train softmax scalable-softpick --steps 41 --rate 0.01" + size + "--out ";
    REQUIRE(run(arguments + parts.path).second == 0);
    const std::vector<char> before = llama2c::read_file(parts / "softmax.bin");
    REQUIRE(run(arguments + parts.path + " --extend 6").second == 0);
    const auto [text, code] = run(arguments + parts.path + " --extend 20");
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(text.find("--extend 20") != std::string::npos);
    REQUIRE(run(arguments + whole.path + " --extend 20").second == 0);
    REQUIRE(llama2c::read_file(parts / "softmax.bin") != before);
    for (const std::string name : {"softmax", "scalable-softpick"})
        for (const std::string end : {".bin", ".heed", ".train"}) {
            INFO(name << end);
            REQUIRE(llama2c::read_file(whole / (name + end)) == llama2c::read_file(parts / (name + end)));
        }
    const auto [says, shorter] = run(arguments + parts.path + " --resume");
    REQUIRE(shorter == 2);
    REQUIRE(says == "twins: " + (parts / "softmax.train") + ": was made with extend 20, this run has none\n");
}

TEST_CASE("one command trains several twins of several seeds over many sittings, and leaves alone what is finished")
{
    const folder parts("twins-sittings"), whole("twins-one-sitting");
    const std::string arguments = "train softmax entmax15 --seeds 1,2 --steps 40 --rate 0.01" + size;
    REQUIRE(run(arguments + "--out " + whole.path).second == 0);
    REQUIRE(interrupted_run(arguments + "--out " + parts.path, parts / "softmax-seed1.train") == 130);
    const std::string on = arguments + "--resume --out " + parts.path;
    REQUIRE(interrupted_run(on, parts / "entmax15-seed1.train") == 130);
    REQUIRE(!std::filesystem::exists(parts / "entmax15-seed2.bin"));
    const auto [text, code] = run(on);
    INFO(text);
    REQUIRE(code == 0);
    REQUIRE(text.find("softmax-seed1 is finished\n") != std::string::npos);
    const auto same = [&] {
        for (const std::string seed : {"1", "2"})
            for (const std::string name : {"softmax-seed", "entmax15-seed"})
                REQUIRE(llama2c::read_file(whole / (name + seed + ".bin")) ==
                        llama2c::read_file(parts / (name + seed + ".bin")));
    };
    same();

    // A model that was lost comes back from its training; the others keep their files.
    std::filesystem::remove(parts / "softmax-seed2.bin");
    const auto written = std::filesystem::last_write_time(parts / "entmax15-seed2.bin");
    const auto [again, done] = run(on);
    REQUIRE(done == 0);
    REQUIRE(again.find("softmax-seed2 is finished") == std::string::npos);
    REQUIRE(again.find("entmax15-seed2 is finished\n") != std::string::npos);
    REQUIRE(written == std::filesystem::last_write_time(parts / "entmax15-seed2.bin"));
    same();
}

TEST_CASE("a sitting ends by the clock, with a line that says how to go on")
{
    const folder out("twins-clock");
    const auto [text, code] = run("train softmax --steps 1000000 --sitting 1" + size + "--out " + out.path);
    INFO(text);
    REQUIRE(code == 3);
    REQUIRE(text.find(" of 1000000. To go on:\n  twins train softmax ") != std::string::npos);
    REQUIRE(std::filesystem::exists(out / "softmax.train"));
    REQUIRE(!std::filesystem::exists(out / "softmax.bin"));
}

TEST_CASE("two models are compared, and two reports, by the numbers of the report and their difference")
{
    const folder a("twins-compare-a"), b("twins-compare-b");
    const std::string arguments = size + "--rate 0.01 --seeds 1,2 --out ";
    REQUIRE(run("train softmax --steps 30" + arguments + a.path).second == 0);
    REQUIRE(run("train softpick --steps 30" + arguments + b.path).second == 0);
    const std::string one = a / "softmax-seed1.bin", other = b / "softpick-seed1.bin";
    const auto [models, code] = run("compare " + one + " " + other);
    INFO(models);
    REQUIRE(code == 0);
    REQUIRE(models.find("$ twins compare " + one) != std::string::npos);
    // The row of the validation loss: two cells, as in the models' report, and what the second has more.
    const auto validation = [](const std::string& table) {
        std::istringstream words(table.substr(table.find("  validation ") + 13));
        std::array<double, 3> cells{};
        for (double& x : cells) words >> x;
        return cells;
    };
    const auto cells = validation(models);
    REQUIRE(cells[2] == Approx(cells[1] - cells[0]).margin(1.01e-4));
    REQUIRE(cells[0] != cells[1]);
    const std::string report = run("report " + one + " " + other + " --out " + a.path + "/pair").first;
    REQUIRE(validation(report)[0] == cells[0]);
    REQUIRE(validation(report)[1] == cells[1]);

    const auto [reports, status] = run("compare " + (a / "report.json") + " " + (b / "report.json"));
    INFO(reports);
    if (reports.find("built beside nlohmann's JSON") == std::string::npos) {
        REQUIRE(status == 0);
        REQUIRE(reports.find("mean (lowest to highest) of 2 seeds") != std::string::npos);
        REQUIRE(reports.find("difference") != std::string::npos);
        const std::string mixed = run("compare " + one + " " + (b / "report.json")).first;
        REQUIRE(validation(mixed)[0] == cells[0]);
        twins::write_whole(a / "empty.json", std::string("{}"));
        REQUIRE(run("compare " + one + " " + (a / "empty.json")) ==
                std::pair{"twins: " + (a / "empty.json") + ": is no report.json of twins\n", 2});
        REQUIRE(run("compare " + one + " " + (b / "report.json") + " --windows 2") ==
                std::pair{"twins: " + (b / "report.json") + ": was validated on 4 windows, " + one + " on 2\n", 2});
    } else REQUIRE(status == 2);
    // Models of one normalizer go by what tells their paths apart.
    const std::string alike = run("compare " + one + " " + (a / "softmax-seed2.bin")).first;
    INFO(alike);
    REQUIRE(alike.find("mean (lowest to highest)") != std::string::npos);
}

TEST_CASE("what cannot be printed is an error")
{
    const folder out("twins-full");
    REQUIRE(run("train softmax --steps 2" + size + "--out " + out.path).second == 0);
    for (const std::string stream : {"2>&1 >/dev/full", "2>&1 >&-"})
        for (const std::string& what :
             {"report " + (out / "softmax.bin") + " --windows 1 --out " + out.path, std::string("train --help"),
              "train softmax --resume --steps 2" + size + "--out " + out.path}) {
            const auto [text, code] = run(what, stream);
            INFO(what << stream << text);
            CHECK(code == 2);
            CHECK(text.find("twins: stdout: what was printed did not arrive: ") == 0);
        }
}

TEST_CASE("what is printed with stdout closed ends in no file")
{
    const folder out("twins-closed"), open("twins-open");
    const std::string train = "train softmax --steps 2" + size + "--out ";
    REQUIRE(run(train + open.path).second == 0);
    REQUIRE(run(train + out.path, ">&- 2>&- <&-").second == 2);
    for (const std::string name : {"softmax.bin", "softmax.heed", "softmax.train", "tokenizer.bin"})
        REQUIRE(llama2c::read_file(out / name) == llama2c::read_file(open / name));
}

TEST_CASE("twins refuses what it does not understand in one line")
{
    const folder out("twins-refusals");
    const auto refuses = [&](const std::string& arguments, const std::string& says) {
        const auto [text, code] = run(arguments + " --out " + out.path);
        INFO(text);
        CHECK(code == 2);
        CHECK(text.rfind("twins: ", 0) == 0);
        CHECK(text.find('\n') == text.size() - 1);
        CHECK(text.find(says) != std::string::npos);
    };
    refuses("train hardmax", "hardmax: is none of softmax, softpick");
    refuses("train softmax softmax", "softmax: is named twice");
    refuses("train softmax --task poetry", "--task poetry");
    refuses("train softmax --task text", "needs --file FILE");
    refuses("train softmax --file x", "belongs to --task text");
    refuses("train softmax --task text --file /nowhere", "/nowhere: cannot be opened");
    refuses("train softmax --dim 100 --heads 3", "--dim 100");
    refuses("train softmax --heads 4 --kv-heads 3", "--kv-heads 3");
    refuses("train softmax --steps 0", "--steps 0: a whole number from 1");
    refuses("train softmax --steps 5 --seconds 3", "does not go with --steps");
    refuses("train softmax --seconds 3 --resume", "does not go with --resume");
    refuses("train softmax --seconds 3 --extend 4", "does not go with --extend");
    refuses("train softmax --extend 0", "--extend 0: a whole number from 1");
    refuses("train softmax --sitting 0", "--sitting 0: a whole number from 1");
    refuses("train softmax --rate fast", "--rate fast");
    refuses("train softmax --rate 0", "--rate 0: a number from 1e-06 to 1");
    refuses("train softmax --rate 1e-9", "--rate 1e-9: a number from 1e-06 to 1");
    refuses("train softmax --seeds 1,2,1", "--seeds 1,2,1: has 1 twice");
    refuses("train softmax --seeds 1,", "--seeds : a whole number");
    refuses("train softmax --seed 1 --seeds 1,2", "--seeds: does not go with --seed");
    refuses("train softmax --task text --file " + out.path, out.path + ": is a directory");
    refuses("report " + out.path, out.path + ": is a directory");
    refuses("report x.bin --seeds 1,2", "--seeds: is no option of report");
    refuses("train softmax --what", "--what: unknown option");
    refuses("report /nowhere.bin", "/nowhere.bin: cannot be opened");
    refuses("report x.bin --steps 3", "--steps: is no option of report");
    refuses("report x.bin --prompt In", "--prompt: is no option of report");
    refuses("report", "which models?");
    refuses("compare x.bin y.bin", "--out: is no option of compare");
    CHECK(run("compare x.bin --windows 3").first == "twins: compare takes two models or reports, not 1\n");
    CHECK(run("compare x.bin y.bin --windows 3").first == "twins: x.bin: cannot be opened\n");
    CHECK(run("compare x.json y.bin --windows 3").first.find("twins: x.json: ") == 0);
    refuses("tell x.bin", "--out: is no option of tell");
    CHECK(run("tell x.bin --prompt In").first == "twins: x.bin: cannot be opened\n");
    refuses("dance softmax", "dance: is none of train, report, compare, tell, box");
}
