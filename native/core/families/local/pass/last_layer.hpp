// SPDX-License-Identifier: Apache-2.0
// Learning while coding: Adam on the last layer, in floats, one rounded operation after another.
// Part of group_pass.hpp, compiled once for each instruction set; no include guard.

namespace bbcodec::local {
namespace {

// The last layer of a channel: its weights as floats, Adam's moments of each, and the integers in use. A row has kMaxInputs
// numbers: the weights of an output; the last row has the biases.
class LastLayer {
  public:
    LastLayer() = default;
    LastLayer(const Model& m, int channel)
        : inputs_(m.hidden + padded(used_features(channel), kChunk)),
          outputs_(m.outputs),
          rate_(m.rate),
          w_(size()),
          m_(size()),
          v_(size()),
          rounded_(size()),
          bias_(outputs_) {
        for (int k = 0; k < outputs_; ++k) {
            for (int i = 0; i < inputs_; ++i)
                w_[row(k) + i] = m.out_w[(static_cast<std::size_t>(channel) * (m.hidden + kFeatures) + i) * outputs_ + k];
            w_[row(outputs_) + k] = m.out_b[static_cast<std::size_t>(channel) * outputs_ + k];
        }
        round(0, rows());
    }

    const std::int16_t* weights() const { return rounded_.data(); }  // [outputs][kMaxInputs]
    const std::int32_t* bias() const { return bias_.data(); }
    int rows() const { return outputs_ + 1; }

    // Starts a step; its parts follow.
    void begin_step() {
        b1_ = b1_ * 0.875f;
        b2_ = b2_ * 0.9921875f;
        c1_ = 1 / (1 - b1_), c2_ = 1 / (1 - b2_);
    }

    // Takes the step of rows first .. last - 1. `sums` has the gradients [rows][kMaxInputs] of each worker; it sets them to 0.
    void learn(int first, int last, Buffer<Buffer<std::int32_t>>& sums) {
        for (int k = first; k < last; ++k) {
            std::int32_t* sum = &sums[0][row(k)];
            const int n = k < outputs_ ? inputs_ : outputs_;
            for (std::size_t worker = 1; worker < sums.size(); ++worker) {
                std::int32_t* more = &sums[worker][row(k)];
                for (int i = 0; i < n; ++i) sum[i] += more[i], more[i] = 0;
            }
            step(sum, row(k), n, k < outputs_ ? 1.0f / 16384 : 1.0f / 1024);
            for (int i = 0; i < n; ++i) sum[i] = 0;
        }
        round(first, last);
    }

  private:
    static std::size_t row(int k) { return static_cast<std::size_t>(k) * kMaxInputs; }
    std::size_t size() const { return row(rows()); }

    void step(const std::int32_t* sums, std::size_t from, int n, float unit) {
        const float rate = rate_, c1 = c1_, c2 = c2_;
        float *w = &w_[from], *m = &m_[from], *v = &v_[from];
        for (int i = 0; i < n; ++i) {
            const float g = static_cast<float>(sums[i]) * unit;
            m[i] = m[i] + (g - m[i]) * 0.125f;
            v[i] = v[i] + (g * g - v[i]) * 0.0078125f;
            w[i] = w[i] - rate * ((m[i] * c1) / (sqrtf(v[i] * c2) + 1.0f / (1 << 20)));
        }
    }

    static std::int32_t rounded(float v, float unit, float limit) {
        v = floorf(v * unit + 0.5f);
        return static_cast<std::int32_t>(v < -limit ? -limit : v > limit ? limit : v);
    }

    void round(int first, int last) {
        for (int k = first; k < smaller(last, outputs_); ++k)
            for (std::size_t i = row(k); i < row(k) + inputs_; ++i)
                rounded_[i] = static_cast<std::int16_t>(rounded(w_[i], 16384, 32767));
        if (last <= outputs_) return;
        for (int k = 0; k < outputs_; ++k) bias_[k] = rounded(w_[row(outputs_) + k], 262144, 268435456);
    }

    int inputs_ = 0, outputs_ = 0;
    float rate_ = 0, b1_ = 1, b2_ = 1, c1_ = 1, c2_ = 1;
    Buffer<float> w_, m_, v_;
    Buffer<std::int16_t> rounded_;
    Buffer<std::int32_t> bias_;
};

}  // namespace
}  // namespace bbcodec::local
