// SPDX-License-Identifier: Apache-2.0
// Learning while coding: Adam on the last layer, in floats, one rounded operation after another.
// Part of pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// The last layer of a channel: its weights as floats, what Adam remembers of each, and the integers in use.
class LastLayer {
  public:
    LastLayer() = default;
    LastLayer(const Model& m, int channel) : inputs_(m.hidden + kFeatures), width_(m.padded_outputs), rate_(m.rate) {
        const std::size_t n = static_cast<std::size_t>(inputs_) * width_;
        w_.assign(m.out_w.begin() + channel * n, m.out_w.begin() + (channel + 1) * n);
        w_.insert(w_.end(), m.out_b.begin() + channel * width_, m.out_b.begin() + (channel + 1) * width_);
        m_.assign(w_.size(), 0), v_.assign(w_.size(), 0);
        pairs_.assign(n / 2, 0), bias_.assign(width_, 0);
        round(0, rows());
    }

    const std::int32_t* weights() const { return pairs_.data(); }  // [padded_outputs / 16][inputs / 2][16], pairs
    const std::int32_t* bias() const { return bias_.data(); }

    int rows() const { return inputs_ + 1; }  // the bias is the last

    // Before the parts of a step.
    void begin_step() {
        b1_ = b1_ * 0.875f;
        b2_ = b2_ * 0.9921875f;
        c1_ = 1 / (1 - b1_), c2_ = 1 / (1 - b2_);
    }

    // The step of rows first .. last - 1, first an even number, with the sums of gradients [rows][padded_outputs] of all workers, which
    // are 0 afterwards.
    void learn(int first, int last, std::vector<std::vector<std::int32_t>>& sums) {
        const std::size_t from = static_cast<std::size_t>(first) * width_, to = static_cast<std::size_t>(last) * width_;
        std::int32_t* sum = sums[0].data();
        for (std::size_t n = 1; n < sums.size(); ++n) {
            std::int32_t* more = sums[n].data();
            for (std::size_t i = from; i < to; ++i) sum[i] += more[i], more[i] = 0;
        }
        const std::size_t bias = std::min(to, static_cast<std::size_t>(inputs_) * width_);
        step(sum, from, bias, 1.0f / 16384);
        step(sum, bias, to, 1.0f / 1024);
        round(first, last);
        std::fill(sum + from, sum + to, 0);
    }

  private:
    void step(const std::int32_t* sums, std::size_t from, std::size_t to, float unit) {
        const float rate = rate_, c1 = c1_, c2 = c2_;
        float *w = w_.data(), *m = m_.data(), *v = v_.data();
        for (std::size_t i = from; i < to; ++i) {
            const float g = static_cast<float>(sums[i]) * unit;
            m[i] = m[i] + (g - m[i]) * 0.125f;
            v[i] = v[i] + (g * g - v[i]) * 0.0078125f;
            w[i] = w[i] - rate * ((m[i] * c1) / (std::sqrt(v[i] * c2) + 1.0f / (1 << 20)));
        }
    }

    static std::int32_t rounded(float v, float unit, float limit) {
        v = std::floor(v * unit + 0.5f);
        return static_cast<std::int32_t>(v < -limit ? -limit : v > limit ? limit : v);
    }

    static std::int32_t pair(std::int32_t a, std::int32_t b) {
        return static_cast<std::int32_t>((static_cast<std::uint32_t>(a) & 0xffff) | static_cast<std::uint32_t>(b) << 16);
    }

    void round(int first, int last) {
        for (int i = first; i < std::min(last, inputs_); i += 2) {
            const float *one = &w_[static_cast<std::size_t>(i) * width_], *two = one + width_;
            for (int k = 0; k < width_; k += 16) {
                std::int32_t* to = &pairs_[(static_cast<std::size_t>(k / 16) * (inputs_ / 2) + i / 2) * 16];
                for (int j = 0; j < 16; ++j) to[j] = pair(rounded(one[k + j], 16384, 32767), rounded(two[k + j], 16384, 32767));
            }
        }
        if (last <= inputs_) return;
        const float* b = &w_[static_cast<std::size_t>(inputs_) * width_];
        for (int k = 0; k < width_; ++k) bias_[k] = rounded(b[k], 262144, 268435456);
    }

    int inputs_ = 0, width_ = 0;
    float rate_ = 0, b1_ = 1, b2_ = 1, c1_ = 1, c2_ = 1;
    std::vector<float> w_, m_, v_;
    std::vector<std::int32_t> pairs_, bias_;
};

}  // namespace
}  // namespace bbcodec::local
