// The step that scores records as they are read.

#include <algorithm>

#include "program_rules.hpp"

namespace recfunnel {

void Program::record_score(Tile out, int start, int width, int constant, std::optional<Tile> y,
                           int dim, const std::string& weight, bool built,
                           const std::string& precision, const std::string& bias,
                           std::optional<Tile> bias_at, const std::string& head,
                           const std::string& head_bias) {
  constexpr int kMost = 1 << 24;
  require(out.per_block && out.width == 1, "record_score leaves one number of each candidate");
  require(start >= 0 && start < kMost && width > 0 && width < kMost && constant >= kNone &&
              constant < kMost,
          "records are read from 0 on");
  Instruction made = make(Op::kRecordScore, out);
  made.start = start;
  made.width = width;
  made.constant = constant;
  made.dim = 1;
  if (y) {
    require(!y->per_block && dim >= 1 && y->width >= dim && y->width % dim == 0 && width % dim == 0,
            "record_score reads whole vectors, of records and of the query");
    require(std::int64_t{width / dim} * (y->width / dim) < kMost, "record_score has too many dots");
    made.y = *y;
    made.dim = dim;
  }
  require(!(built && y), "a built matrix meets records, not dots");
  RecordShape shape{width, made.y.width / made.dim, made.dim, 0};
  Precision used;
  std::int32_t num_inputs;
  if (built) {
    const auto place = slot_names_.find(weight);
    require(place != slot_names_.end(), "the slot '" + weight + "' was not built");
    made.slot = place->second;
    const Slot& slot = slots_[made.slot];
    used = slot.precision, shape.num_outputs = slot.num_outputs, num_inputs = slot.num_inputs;
  } else {
    used = precision_named(precision);
    made.matrix = y ? packed_for_dots(weight, shape, used) : packed(weight, used);
    const Matrix& matrix = matrices_[made.matrix];
    shape.num_outputs = matrix.num_outputs, num_inputs = matrix.num_inputs;
  }
  require_width(y ? kernels_->record_order(shape, nullptr) : width, num_inputs,
                "what record_score's layer reads");
  require(shape.num_outputs % kRecordOutputs == 0,
          "record_score's layer has a multiple of 16 outputs");
  require(used != Precision::kInt8 || num_inputs <= kMostInt8Inputs,
          "record_score's int8 layer reads at most 66000 inputs");
  made.bias = vector_named(bias, shape.num_outputs);
  if (bias_at) {
    require(!bias_at->per_block && made.bias == kNone, "a layer's bias is a vector or a query tile");
    require_width(bias_at->width, shape.num_outputs, "a layer's bias");
    made.bias_at = *bias_at;
  } else if (made.bias == kNone) {
    made.bias = zeros(shape.num_outputs);
  }
  made.head = row_named(head, shape.num_outputs);
  made.head_bias = vector_named(head_bias, 1);
  record_width_ = std::max(record_width_, start + width);
  if (constant != kNone) record_width_ = std::max(record_width_, constant + shape.num_outputs);
  for (int lanes : {1, 16, 32, 48}) {
    scratch_bytes_ = std::max(scratch_bytes_, kernels_->record_scratch_bytes(shape, lanes));
  }
  push(std::move(made));
}

RecordShape Program::record_shape(const Instruction& step) const {
  RecordShape shape;
  shape.width = step.width;
  shape.dim = step.dim;
  shape.num_y = step.y.width / step.dim;
  shape.num_outputs = step.slot == kNone ? matrices_[step.matrix].num_outputs
                                         : slots_[step.slot].num_outputs;
  return shape;
}

}  // namespace recfunnel
