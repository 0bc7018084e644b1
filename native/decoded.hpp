// Deep hash embeddings: codes of an id through a few layers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "computed.hpp"

namespace recfunnel {

// What a code c of m counts as: 2c / (m - 1) - 1; or, two codes c and d at a time, with
// r[c] · cosine[d] and r[c] · sine[d].
struct NormalValues {
  Array radius, cosine, sine;  // float64 (m,)
};

// The functions of an id. Arrays are (num_codes,): uint32 multipliers and addends, int64 primes
// (their data null: none).
struct CodeFunctions {
  std::int64_t num_values = 0;
  std::uint32_t seed_mix = 0;
  int shift = 0;
  Array multipliers, addends, primes;
  std::optional<NormalValues> normal;
};

enum class Activation : std::uint8_t { kNone, kRelu, kMish, kSigmoid };

// y = activation(weight · x + bias), weight float32 (N, K), bias float32 (N,).
struct DecoderLayer {
  Array weight, bias;
  Activation activation = Activation::kNone;
};

class DecodedTable final : public ComputedTable {
 public:
  // Products of all layers but the last are in `precision`, as far as they have inputs enough; the
  // last layer is float32. Of up to 256 values a code, the first layer's inputs are exact in every
  // precision. Throws ProgramError where layers, codes and `dim` do not fit together.
  DecodedTable(const Kernels& kernels, std::int64_t num_ids, std::int32_t dim,
               const CodeFunctions& codes, const std::vector<DecoderLayer>& layers,
               Precision precision);

  std::size_t scratch_bytes() const override { return 2 * tile_bytes_ + linear_bytes_; }
  void rows(const std::uint32_t* ids, int count, float* out, std::byte* scratch) const override;

 private:
  struct Layer {
    Matrix matrix;
    AlignedVector<std::byte> packed;
    AlignedVector<float> bias;
    Activation activation = Activation::kNone;
    bool in_levels = false, in_pairs = false, out_pairs = false;
  };

  void take_codes(const CodeFunctions& codes);
  void add_layer(const DecoderLayer& given, Precision precision);
  void fold_level_offset();
  // One tile of codes through all layers; `lanes` is 1 or a multiple of kLanes.
  void block(const std::uint32_t* ids, int lanes, int count, float* out, std::byte* scratch) const;
  void first_inputs(const std::uint32_t* ids, int lanes, std::byte* to, std::byte* scratch) const;
  void normal_values(const std::uint32_t* codes, int lanes, float* out) const;

  const Kernels* kernels_;
  Hashes hashes_;
  CodeForm form_ = CodeForm::kCentred;
  float level_scale_ = 1;
  AlignedVector<std::uint32_t> multipliers_, addends_;
  AlignedVector<std::int64_t> primes_;
  AlignedVector<double> inverses_;
  std::optional<NormalValues> normal_;
  std::vector<Layer> layers_;
  std::size_t tile_bytes_ = 0, linear_bytes_ = 0;
};

}  // namespace recfunnel
