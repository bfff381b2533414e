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
        b_.assign(m.out_b.begin() + channel * width_, m.out_b.begin() + (channel + 1) * width_);
        wm_.assign(n, 0), wv_.assign(n, 0), wq_.assign(n, 0);
        bm_.assign(width_, 0), bv_.assign(width_, 0), bq_.assign(width_, 0);
        round();
    }

    const std::int16_t* weights() const { return wq_.data(); }  // [inputs / 2][padded_outputs][2]
    const std::int32_t* bias() const { return bq_.data(); }

    // One step, with the sums of gradients [inputs + 1][padded_outputs], those of the bias last.
    void learn(const std::int32_t* sums) {
        b1_ = b1_ * 0.875f;
        b2_ = b2_ * 0.9921875f;
        const float c1 = 1 / (1 - b1_), c2 = 1 / (1 - b2_);
        const std::size_t n = static_cast<std::size_t>(inputs_) * width_;
        step(w_.data(), wm_.data(), wv_.data(), sums, n, 1.0f / 16384, c1, c2);
        step(b_.data(), bm_.data(), bv_.data(), sums + n, width_, 1.0f / 1024, c1, c2);
        round();
    }

  private:
    void step(float* w, float* m, float* v, const std::int32_t* sums, std::size_t n, float unit, float c1, float c2) const {
        const float rate = rate_;
        for (std::size_t i = 0; i < n; ++i) {
            const float g = static_cast<float>(sums[i]) * unit;
            m[i] = m[i] + (g - m[i]) * 0.125f;
            v[i] = v[i] + (g * g - v[i]) * 0.0078125f;
            w[i] = w[i] - rate * ((m[i] * c1) / (std::sqrt(v[i] * c2) + 1.0f / (1 << 20)));
        }
    }

    void round() {
        const auto round = [](float v, float unit, float limit) {
            v = std::floor(v * unit + 0.5f);
            return static_cast<std::int32_t>(v < -limit ? -limit : v > limit ? limit : v);
        };
        for (int i = 0; i < inputs_; ++i) {
            const float* from = &w_[static_cast<std::size_t>(i) * width_];
            std::int16_t* to = &wq_[(static_cast<std::size_t>(i / 2) * width_) * 2 + i % 2];
            for (int k = 0; k < width_; ++k) to[2 * k] = static_cast<std::int16_t>(round(from[k], 16384, 32767));
        }
        for (int k = 0; k < width_; ++k) bq_[k] = round(b_[k], 262144, 268435456);
    }

    int inputs_ = 0, width_ = 0;
    float rate_ = 0, b1_ = 1, b2_ = 1;
    std::vector<float> w_, wm_, wv_, b_, bm_, bv_;
    std::vector<std::int16_t> wq_;
    std::vector<std::int32_t> bq_;
};

}  // namespace
}  // namespace bbcodec::local
