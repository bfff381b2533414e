// SPDX-License-Identifier: Apache-2.0
// Streams of decisions: rANS with one lane and two symbols, probabilities of 16 bits.
// Part of group_coder.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::loglinear {
namespace {

constexpr std::uint64_t kBase = std::uint64_t{1} << 31;  // the initial state of a head

// A list that grows.
template <typename T>
class Growing {
  public:
    void put(T v) {
        if (size_ == place_.size()) grow();
        place_[size_++] = v;
    }
    std::size_t size() const { return size_; }
    const T& operator[](std::size_t i) const { return place_[i]; }

  private:
    void grow() {
        Buffer<T> more(size_ < 512 ? 1024 : 2 * size_);
        copy(place_.data(), size_, more.data());
        place_ = static_cast<Buffer<T>&&>(more);
    }
    Buffer<T> place_;
    std::size_t size_ = 0;
};

// Decisions that are planned: 17 bits each, in pieces that are given back as soon as they are taken.
class Decisions {
  public:
    Decisions() = default;
    Decisions(const Decisions&) = delete;
    Decisions& operator=(const Decisions&) = delete;
    ~Decisions() {
        while (last_ != nullptr) drop();
    }

    void put(std::uint32_t p, std::uint64_t one) {
        if (last_ == nullptr || last_->size == kPiece) last_ = new Piece{last_};
        const int i = last_->size++;
        last_->p[i] = static_cast<std::uint16_t>(p), last_->one[i / 64] |= one << i % 64;
    }

    // Calls f(p, one) for each, the last one first, and forgets them.
    template <typename F>
    void take(F f) {
        for (; last_ != nullptr; drop())
            for (int i = last_->size; i-- > 0;) f(std::uint32_t{last_->p[i]}, static_cast<std::uint32_t>(last_->one[i / 64] >> i % 64 & 1));
    }

  private:
    static constexpr int kPiece = 8192;
    struct Piece {
        Piece* before = nullptr;
        int size = 0;
        std::uint16_t p[kPiece];
        std::uint64_t one[kPiece / 64] = {};
    };
    void drop() {
        Piece* const before = last_->before;
        delete last_;
        last_ = before;
    }
    Piece* last_ = nullptr;
};

// Keeps decisions while they are planned, then pushes them, the last one first.
class Writer {
  public:
    // p: probability of 1, in 2^-16, from 1 to 65535.
    int bit(int p, int known) {
        decisions_.put(static_cast<std::uint32_t>(p), static_cast<std::uint64_t>(known));
        return known;
    }
    void finish() {
        std::uint64_t head = kBase;
        Growing<std::uint32_t> emitted;
        decisions_.take([&](std::uint32_t p, std::uint32_t one) {
            const std::uint64_t freq = one ? p : 65536 - p, start = one ? 0 : p;
            if (head >= freq << 47) emitted.put(static_cast<std::uint32_t>(head)), head >>= 32;
            head = ((head / freq) << 16) + head % freq + start;
        });
        words_.resize(2 + emitted.size());
        words_[0] = static_cast<std::uint32_t>(head >> 32), words_[1] = static_cast<std::uint32_t>(head);
        for (std::size_t i = 0; i < emitted.size(); ++i) words_[2 + i] = emitted[emitted.size() - 1 - i];
    }
    Words words() const { return {words_.data(), words_.size()}; }

  private:
    Decisions decisions_;
    Buffer<std::uint32_t> words_;
};

// Pops decisions. After too few words it gives any decisions, and is not done.
class Reader {
  public:
    void begin(Words words) {
        words_ = words, at_ = 2, short_ = words.size < 2;
        head_ = short_ ? kBase : std::uint64_t{words.data[0]} << 32 | words.data[1];
    }
    int bit(int p, int) {
        const std::uint32_t low = static_cast<std::uint32_t>(head_) & 0xffff, one = low < static_cast<std::uint32_t>(p);
        const std::uint32_t freq = one ? p : 65536 - p, start = one ? 0 : p;
        head_ = freq * (head_ >> 16) + low - start;
        if (head_ < kBase) {
            if (at_ >= words_.size)
                short_ = true, head_ |= kBase;
            else
                head_ = head_ << 32 | words_.data[at_++];
        }
        return static_cast<int>(one);
    }
    bool done() const { return !short_ && at_ == words_.size && head_ == kBase; }
    bool failed() const { return short_; }

  private:
    Words words_;
    std::size_t at_ = 0;
    std::uint64_t head_ = kBase;
    bool short_ = false;
};

// Adds up the cost of decisions.
class Counter {
  public:
    int bit(int p, int known) {
        bits_ -= __builtin_log2(static_cast<double>(known ? p : 65536 - p) / 65536);
        return known;
    }
    double take() {
        const double bits = bits_;
        bits_ = 0;
        return bits;
    }

  private:
    double bits_ = 0;
};

}  // namespace
}  // namespace bbcodec::loglinear
