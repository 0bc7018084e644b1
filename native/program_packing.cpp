// Parameters in the form the kernels read: rows of heads, packed matrices, slots of built ones.

#include <algorithm>

#include "program_rules.hpp"

namespace recfunnel {
namespace {

void require_summable(const std::string& name, std::int64_t num_inputs, Precision precision) {
  require(precision != Precision::kInt8 || num_inputs <= kMostInt8Inputs,
          "'" + name + "' has " + std::to_string(num_inputs) + " inputs, int8 adds up at most " +
              std::to_string(kMostInt8Inputs) + "; take bfloat16");
}

}  // namespace

// The one output of a layer, as a vector.
std::int32_t Program::row_named(const std::string& name, std::int32_t width) {
  const Array& array = found(name, "a head");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] == 1,
          "'" + name + "' must be a float32 matrix of one output");
  require_width(array.shape[1], width, name.c_str());
  const auto* data = static_cast<const float*>(array.data);
  vectors_.emplace_back(data, data + array.shape[1]);
  return static_cast<std::int32_t>(vectors_.size() - 1);
}

std::int32_t Program::zeros(std::int32_t width) {
  vectors_.emplace_back(static_cast<std::size_t>(width), 0.0f);
  return static_cast<std::int32_t>(vectors_.size() - 1);
}

std::int32_t Program::packed(const std::string& name, Precision precision) {
  const std::string key = name + " " + std::to_string(static_cast<int>(precision));
  const auto place = matrix_names_.find(key);
  if (place != matrix_names_.end()) return place->second;
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] > 0 &&
              array.shape[0] < (1 << 24) && array.shape[1] < (1 << 24),
          "'" + name + "' must be a float32 matrix with outputs");
  require_summable(name, array.shape[1], precision);
  Matrix matrix{nullptr, static_cast<std::int32_t>(array.shape[0]),
                static_cast<std::int32_t>(array.shape[1]), precision};
  if (matrix.num_inputs > 0) {
    const int outputs = matrix.num_outputs, inputs = matrix.num_inputs;
    packed_.emplace_back(kernels_->packed_bytes(outputs, inputs, precision) + kCacheLine);
    kernels_->pack(static_cast<const float*>(array.data), outputs, inputs, precision,
                   packed_.back().data());
    matrix.data = packed_.back().data();
    for (int lanes : {1, 16, 32, 48}) {
      scratch_bytes_ =
          std::max(scratch_bytes_, kernels_->linear_scratch_bytes(inputs, lanes, precision));
    }
  }
  matrices_.push_back(matrix);
  return matrix_names_[key] = static_cast<std::int32_t>(matrices_.size() - 1);
}

// A layer on dots, its inputs in the order in which a record's are made.
std::int32_t Program::packed_for_dots(const std::string& name, const RecordShape& shape,
                                      Precision precision) {
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2, "'" + name + "' must be a float32 matrix");
  require_width(array.shape[1], shape.num_inputs(), name.c_str());
  std::vector<std::int32_t> order(kernels_->record_order(shape, nullptr));
  kernels_->record_order(shape, order.data());
  const auto* from = static_cast<const float*>(array.data);
  auto ordered = std::make_shared<std::vector<float>>();
  for (std::int64_t output = 0; output < array.shape[0]; ++output) {
    for (std::int32_t input : order) {
      ordered->push_back(input < 0 ? 0.0f : from[output * array.shape[1] + input]);
    }
  }
  Array made = array;
  made.data = ordered->data();
  made.shape[1] = static_cast<std::int64_t>(order.size());
  made.owner = ordered;
  const std::string own_name = name + " on " + std::to_string(shape.num_y) + " vectors of " +
                               std::to_string(shape.dim);
  arrays_[own_name] = made;
  const std::int32_t place = packed(own_name, precision);
  arrays_.erase(own_name);
  return place;
}

std::int32_t Program::packed_cross(const std::string& name, int num_x, int num_y) {
  const std::string key = name + " crossed " + std::to_string(num_x);
  const auto place = matrix_names_.find(key);
  if (place != matrix_names_.end()) return place->second;
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] > 0,
          "'" + name + "' must be a float32 matrix with outputs");
  require_width(array.shape[1], std::int64_t{num_x} * num_y, name.c_str());
  const int outputs = static_cast<int>(array.shape[0]);
  packed_.emplace_back(kernels_->packed_cross_bytes(outputs, num_x, num_y) + kCacheLine);
  kernels_->pack_cross(static_cast<const float*>(array.data), outputs, num_x, num_y,
                       packed_.back().data());
  matrices_.push_back({packed_.back().data(), outputs, num_x * num_y, Precision::kFloat32});
  return matrix_names_[key] = static_cast<std::int32_t>(matrices_.size() - 1);
}

std::int32_t Program::new_slot(const std::string& name, int num_outputs, int num_inputs,
                               Precision precision) {
  require(!slot_names_.contains(name), "the slot '" + name + "' is built twice");
  require_summable(name, num_inputs, precision);
  slots_.push_back({num_outputs, num_inputs, precision, slot_bytes_});
  slot_bytes_ += round_up(kernels_->packed_bytes(num_outputs, num_inputs, precision), kCacheLine) +
                 kCacheLine;
  for (int lanes : {1, 16, 32, 48}) {
    scratch_bytes_ =
        std::max(scratch_bytes_, kernels_->linear_scratch_bytes(num_inputs, lanes, precision));
  }
  return slot_names_[name] = static_cast<std::int32_t>(slots_.size() - 1);
}

}  // namespace recfunnel
