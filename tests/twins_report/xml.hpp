// SPDX-License-Identifier: MIT
// Reads as much XML as SVG needs, and no document that is not well-formed.
#pragma once

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace xml {

struct element {
    std::string name, text;
    std::map<std::string, std::string> attributes;
};

class reader {
public:
    explicit reader(const std::string& document) : rest_(document) {}

    /// The elements in the order in which they begin.
    std::vector<element> elements()
    {
        read_element();
        skip_blanks();
        require(at_ == rest_.size(), "something behind the root");
        return std::move(found_);
    }

private:
    void require(bool holds, const std::string& otherwise) const
    {
        if (!holds) throw std::runtime_error("no XML: " + otherwise + " at byte " + std::to_string(at_));
    }
    bool comes(const std::string& what) const { return rest_.compare(at_, what.size(), what) == 0; }
    void take(const std::string& what)
    {
        require(comes(what), "no " + what);
        at_ += what.size();
    }
    void skip_blanks() { at_ = std::min(rest_.find_first_not_of(" \n", at_), rest_.size()); }

    std::string name()
    {
        const std::size_t end = rest_.find_first_not_of("abcdefghijklmnopqrstuvwxyzBTXY-0123456789", at_);
        require(end != std::string::npos && end > at_, "no name");
        const std::size_t begin = std::exchange(at_, end);
        return rest_.substr(begin, end - begin);
    }

    /// Until one of `ends`, its references resolved.
    std::string characters(char end)
    {
        std::string text;
        for (; at_ < rest_.size() && rest_[at_] != end; ++at_) {
            require(rest_[at_] != '<', "a bare <");
            require(static_cast<unsigned char>(rest_[at_]) >= ' ' || rest_[at_] == '\n', "a control character");
            if (rest_[at_] != '&') {
                text += rest_[at_];
                continue;
            }
            const std::size_t semicolon = rest_.find(';', at_);
            require(semicolon != std::string::npos, "a bare &");
            const std::string entity = rest_.substr(at_ + 1, semicolon - at_ - 1);
            require(entity == "amp" || entity == "lt" || entity == "gt", "an unknown entity " + entity);
            text += entity == "amp" ? '&' : entity == "lt" ? '<' : '>';
            at_ = semicolon;
        }
        return text;
    }

    void read_element()
    {
        take("<");
        const std::size_t self = found_.size();
        found_.push_back({name(), "", {}});
        for (skip_blanks(); !comes(">") && !comes("/>"); skip_blanks()) {
            const std::string key = name();
            take("=\"");
            require(found_[self].attributes.emplace(key, characters('"')).second, key + " twice");
            take("\"");
        }
        if (comes("/>")) return take("/>");
        take(">");
        for (found_[self].text = characters('<'); !comes("</"); found_[self].text += characters('<')) read_element();
        take("</");
        take(found_[self].name);
        take(">");
    }

    std::string rest_;
    std::size_t at_ = 0;
    std::vector<element> found_;
};

inline std::vector<element> read(const std::string& document) { return reader(document).elements(); }

}  // namespace xml
