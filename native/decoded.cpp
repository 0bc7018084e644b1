#include "decoded.hpp"

#include <algorithm>
#include <cstring>

namespace recfunnel {
namespace {

constexpr int kFewestForBlock = 6;     // fewer ids than this are taken one by one
constexpr int kFewestLowInputs = 32;   // a shorter sum gains nothing from shorter weights
constexpr int kMostLevels = 256;
constexpr std::int64_t kLargestPrime = std::int64_t{1} << 31;

void require(bool condition, const std::string& message) {
  if (!condition) throw ProgramError(message);
}

int padded(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

template <class T>
AlignedVector<T> copied(const Array& array, std::int64_t size, const std::string& what) {
  require(array.item_bytes == sizeof(T) && array.shape.size() == 1 && array.shape[0] == size,
          what + " must have one number for each of " + std::to_string(size));
  const auto* data = static_cast<const T*>(array.data);
  return AlignedVector<T>(data, data + size);
}

}  // namespace

DecodedTable::DecodedTable(const Kernels& kernels, std::int64_t num_ids, std::int32_t dim,
                           const CodeFunctions& codes, const std::vector<DecoderLayer>& layers,
                           Precision precision)
    : ComputedTable(num_ids, dim), kernels_(&kernels) {
  require(!layers.empty(), "a decoder has at least one layer");
  take_codes(codes);
  if (!normal_ && hashes_.num_values <= kMostLevels && layers.size() > 1 &&
      hashes_.num_codes >= kFewestLowInputs && precision == Precision::kInt8) {
    form_ = CodeForm::kLevels;
    level_scale_ = 2.0f / static_cast<float>(hashes_.num_values - 1);
  }
  tile_bytes_ = std::size_t{4} * hashes_.num_codes * kMaxLanes;
  for (const DecoderLayer& layer : layers) {
    add_layer(layer, &layer == &layers.back() ? Precision::kFloat32 : precision);
  }
  require(layers_.back().matrix.num_outputs == dim,
          "the last layer of a decoder is " + std::to_string(layers_.back().matrix.num_outputs) +
              " wide, must be " + std::to_string(dim));
  tile_bytes_ = round_up(tile_bytes_, kCacheLine);
  linear_bytes_ = round_up(linear_bytes_, kCacheLine);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const bool plain = i > 0 && (layers_[i - 1].activation == Activation::kNone ||
                                 layers_[i - 1].activation == Activation::kRelu);
    if (layers_[i].matrix.precision != Precision::kBFloat16) continue;
    if (i == 0 && !normal_) {
      form_ = CodeForm::kPairs;
      layers_[0].in_pairs = true;
    } else if (plain) {
      layers_[i].in_pairs = layers_[i - 1].out_pairs = true;
    }
  }
  if (form_ == CodeForm::kLevels) fold_level_offset();
}

void DecodedTable::take_codes(const CodeFunctions& codes) {
  const std::int64_t count = codes.multipliers.shape.empty() ? 0 : codes.multipliers.shape[0];
  require(count >= 1 && count <= kMostInt8Inputs, "a decoder reads 1 to " +
                                                      std::to_string(kMostInt8Inputs) +
                                                      " codes, not " + std::to_string(count));
  require(codes.num_values >= 2 && codes.num_values <= (1 << 24),
          "a code has 2 to 16,777,216 values, not " + std::to_string(codes.num_values));
  multipliers_ = copied<std::uint32_t>(codes.multipliers, count, "multipliers of codes");
  addends_ = copied<std::uint32_t>(codes.addends, count, "addends of codes");
  hashes_.num_codes = static_cast<std::int32_t>(count);
  hashes_.num_values = static_cast<std::int32_t>(codes.num_values);
  hashes_.seed_mix = codes.seed_mix;
  hashes_.shift = codes.shift;
  hashes_.multipliers = multipliers_.data();
  hashes_.addends = addends_.data();
  if (codes.primes.data != nullptr) {
    primes_ = copied<std::int64_t>(codes.primes, count, "primes of codes");
    for (std::size_t i = 0; i < primes_.size(); ++i) {
      require(primes_[i] >= 2 && primes_[i] < kLargestPrime && multipliers_[i] < primes_[i] &&
                  addends_[i] < primes_[i],
              "primes of codes are 2 to 2^31, multipliers and addends below them");
      inverses_.push_back(1.0 / static_cast<double>(primes_[i]));
    }
    hashes_.primes = primes_.data();
    hashes_.inverses = inverses_.data();
  } else {
    require(codes.shift >= 8 && codes.shift < 32 &&
                codes.num_values == std::int64_t{1} << (32 - codes.shift),
            "codes by multiplication keep 1 to 24 bits, as many as they have values");
  }
  if (!codes.normal) return;
  require(count % 2 == 0, "normal values are made of two codes at a time");
  for (const Array* table : {&codes.normal->radius, &codes.normal->cosine, &codes.normal->sine}) {
    require(table->item_bytes == 8 && table->shape.size() == 1 &&
                table->shape[0] == codes.num_values,
            "tables of normal values have a float64 for each value of a code");
  }
  normal_ = codes.normal;
}

void DecodedTable::add_layer(const DecoderLayer& given, Precision precision) {
  const std::int64_t inputs = layers_.empty() ? hashes_.num_codes
                                              : layers_.back().matrix.num_outputs;
  const Array& weight = given.weight;
  require(weight.is_float32 && weight.shape.size() == 2 && weight.shape[0] >= 1 &&
              weight.shape[0] < (1 << 20) && weight.shape[1] == inputs,
          "layer " + std::to_string(layers_.size()) + " of a decoder must be float32 (outputs, " +
              std::to_string(inputs) + ")");
  Layer layer;
  layer.activation = given.activation;
  layer.bias = copied<float>(given.bias, weight.shape[0], "a decoder layer's bias");
  const auto outputs = static_cast<std::int32_t>(weight.shape[0]);
  if (inputs < kFewestLowInputs) precision = Precision::kFloat32;
  layer.matrix = {nullptr, outputs, static_cast<std::int32_t>(inputs), precision};
  const auto* from = static_cast<const float*>(weight.data);
  std::vector<float> weights(from, from + outputs * inputs);
  if (layers_.empty() && !normal_ && form_ != CodeForm::kLevels) {
    for (float& each : weights) each /= static_cast<float>(hashes_.num_values - 1);
  }
  layer.in_levels = layers_.empty() && form_ == CodeForm::kLevels;
  layer.packed.resize(kernels_->packed_bytes(outputs, inputs, precision));
  kernels_->pack(weights.data(), outputs, inputs, precision, layer.packed.data());
  layer.matrix.data = layer.packed.data();
  for (int lanes : {1, kMaxLanes}) {
    const std::size_t bytes = kernels_->linear_scratch_bytes(inputs, lanes, precision);
    linear_bytes_ = std::max(linear_bytes_, bytes);
    if (layer.in_levels) tile_bytes_ = std::max(tile_bytes_, bytes);
  }
  tile_bytes_ = std::max(tile_bytes_, std::size_t{4} * outputs * kMaxLanes);
  layers_.push_back(std::move(layer));
}

// Levels count from 0, values from -1: the difference is a sum of the weights as they are rounded,
// which the layer itself gives for levels of 0 that count from 1.
void DecodedTable::fold_level_offset() {
  Layer& layer = layers_[0];
  AlignedVector<std::byte> levels(
      kernels_->linear_scratch_bytes(hashes_.num_codes, 1, Precision::kInt8));
  const float scale = 1;
  const std::int32_t zero = 1;
  std::byte* after = levels.data() + levels.size() - sizeof scale - sizeof zero;
  std::memcpy(after, &scale, sizeof scale);
  std::memcpy(after + sizeof scale, &zero, sizeof zero);
  AlignedVector<float> folded(layer.bias.size());
  LinearArgs args;
  args.matrix = layer.matrix;
  args.in = levels.data();
  args.in_levels = true;
  args.out = folded.data();
  args.bias = layer.bias.data();
  kernels_->linear(args);
  layer.bias = std::move(folded);
}

void DecodedTable::rows(const std::uint32_t* ids, int count, float* out,
                        std::byte* scratch) const {
  if (count < kFewestForBlock) {
    for (int i = 0; i < count; ++i) block(ids + i, 1, 1, out + std::ptrdiff_t{i} * dim(), scratch);
    return;
  }
  alignas(kCacheLine) std::uint32_t all[kMaxLanes];
  const int lanes = padded(count);
  std::copy_n(ids, count, all);
  std::fill(all + count, all + lanes, ids[count - 1]);
  block(all, lanes, count, out, scratch);
}

void DecodedTable::block(const std::uint32_t* ids, int lanes, int count, float* out,
                         std::byte* scratch) const {
  std::byte* in = scratch;
  std::byte* made = scratch + tile_bytes_;
  std::byte* own = scratch + 2 * tile_bytes_;
  first_inputs(ids, lanes, in, made);
  for (const Layer& layer : layers_) {
    LinearArgs args;
    args.matrix = layer.matrix;
    args.in = in;
    args.out = made;
    args.in_pairs = layer.in_pairs;
    args.in_levels = layer.in_levels;
    args.out_pairs = layer.out_pairs;
    args.bias = layer.bias.data();
    args.lanes = lanes;
    args.relu = layer.activation == Activation::kRelu;
    args.scratch = own;
    kernels_->linear(args);
    auto* values = reinterpret_cast<float*>(made);
    const int width = layer.matrix.num_outputs;
    if (layer.activation == Activation::kMish) kernels_->mish(values, width, lanes, values);
    if (layer.activation == Activation::kSigmoid) kernels_->sigmoid(values, width, lanes, values);
    std::swap(in, made);
  }
  const auto* tile = reinterpret_cast<const float*>(in);
  for (int lane = 0; lane < count; ++lane) {
    for (int i = 0; i < dim(); ++i) *out++ = tile[std::ptrdiff_t{i} * lanes + lane];
  }
}

void DecodedTable::first_inputs(const std::uint32_t* ids, int lanes, std::byte* to,
                                std::byte* scratch) const {
  CodesArgs args;
  args.hashes = &hashes_;
  args.ids = ids;
  args.lanes = lanes;
  args.form = normal_ ? CodeForm::kIntegers : form_;
  args.level_scale = level_scale_;
  args.out = normal_ ? scratch : to;
  kernels_->codes(args);
  if (normal_) {
    normal_values(reinterpret_cast<const std::uint32_t*>(scratch), lanes,
                  reinterpret_cast<float*>(to));
  }
}

void DecodedTable::normal_values(const std::uint32_t* codes, int lanes, float* out) const {
  const auto* radius = static_cast<const double*>(normal_->radius.data);
  const auto* cosine = static_cast<const double*>(normal_->cosine.data);
  const auto* sine = static_cast<const double*>(normal_->sine.data);
  for (int code = 0; code < hashes_.num_codes; code += 2, codes += 2 * lanes, out += 2 * lanes) {
    for (int lane = 0; lane < lanes; ++lane) {
      const double length = radius[codes[lane]];
      const std::uint32_t angle = codes[lanes + lane];
      out[lane] = static_cast<float>(length * cosine[angle]);
      out[lanes + lane] = static_cast<float>(length * sine[angle]);
    }
  }
}

}  // namespace recfunnel
