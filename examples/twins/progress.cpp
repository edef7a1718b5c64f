// SPDX-License-Identifier: MIT
#include "progress.hpp"

#include <cstdio>
#include <unistd.h>

namespace twins {
namespace {

std::string time_left(double seconds)
{
    char text[32];
    const long long s = static_cast<long long>(seconds + 0.5);
    if (s >= 3600) std::snprintf(text, sizeof(text), "%lld h %02lld min", s / 3600, s / 60 % 60);
    else std::snprintf(text, sizeof(text), "%lld:%02lld min", s / 60, s % 60);
    return text;
}

}  // namespace

progress::progress(const trainer& run, std::string name)
    : run_(run), name_(std::move(name)), terminal_(isatty(STDOUT_FILENO)), first_step_(run.state().step),
      points_(run.state().curve.step.size())
{}

void progress::show(double loss)
{
    const training_state& s = run_.state();
    const int64 steps = run_.run().all_steps(), since = s.step - first_step_;
    smooth_ += std::max(0.05, 1 / static_cast<double>(since)) * (loss - smooth_);
    const bool point = s.curve.step.size() > points_;
    points_ = s.curve.step.size();
    const clock::time_point now = clock::now();
    if (terminal_ ? !point && now - shown_ < std::chrono::milliseconds(200) : !point) return;
    shown_ = now;

    const double seconds = std::chrono::duration<double>(now - start_).count(),
                 pace = static_cast<double>(since) / seconds;
    const double tokens = pace * static_cast<double>(run_.run().batch * run_.run().shape.context);
    char numbers[160];
    std::snprintf(numbers, sizeof(numbers), "step %lld of %lld, loss %.4f", static_cast<long long>(s.step),
                  static_cast<long long>(steps), smooth_);
    std::string line = numbers;
    if (!s.curve.validation.empty()) {
        std::snprintf(numbers, sizeof(numbers), ", validation %.4f", s.curve.validation.back());
        line += numbers;
    }
    std::snprintf(numbers, sizeof(numbers), ", %.1fk tokens/s, ", tokens / 1000);
    line += numbers + time_left(static_cast<double>(steps - s.step) / pace) + " left";
    if (terminal_) {
        const int width = 20, done = static_cast<int>(width * s.step / steps);
        const std::string bar =
            std::string(static_cast<std::size_t>(done), '#') + std::string(static_cast<std::size_t>(width - done), '.');
        std::printf("\r\033[K%-10s [%s] %s", name_.c_str(), bar.c_str(), line.c_str());
    } else {
        std::printf("%-10s %s\n", name_.c_str(), line.c_str());
    }
    std::fflush(stdout);
}

void progress::finish()
{
    if (terminal_) std::printf("\n");
}

}  // namespace twins
