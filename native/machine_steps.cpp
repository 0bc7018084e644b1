// Instructions, one function each where they are more than a call of a kernel.
#include <algorithm>
#include <cmath>

#include "machine_parts.hpp"
#include "made_rows.hpp"

namespace recfunnel {
namespace {

// A number picked from a row costs about as much as this many read in order: each is a cache line of
// its own, and the whole row is added up in registers.
constexpr std::int64_t kPickCost = 20;
constexpr double kSmallestNorm = 1e-12;

// What a weight counts as: linear between points[0] at 1, points[1] at 2, ..., constant outside.
float weighted(float weight, const float* points, int count) {
  const double place = static_cast<double>(weight) - 1.0;
  if (!(place > 0.0)) return points[0];
  if (place >= count - 1) return points[count - 1];
  const int low = static_cast<int>(place);
  const double part = place - low;
  return static_cast<float>(points[low] + part * (points[low + 1] - points[low]));
}

}  // namespace

void Machine::run_query(Workspace& own, const Call& call, std::int64_t query) const {
  const Kernels& kernels = program_->kernels();
  const FeatureArrays& context = *call.context;
  float* arena = own.query_arena.data();
  std::size_t number = 0;
  for (const Instruction& step : program_->query()) {
    const Stopwatch stopwatch(own.query_seconds, number++);
    const float* x = arena + step.x.row;
    const float* y = arena + step.y.row;
    float* out = arena + step.out.row;
    switch (step.op) {
      case Op::kLookup: {
        if (step.computed != kNone) {
          kernels.gather(table_of(step, call), call.made->numbers(step.computed) + query, 1, out);
          break;
        }
        const Table& table = program_->table_at(step.table);
        const std::int64_t id = context.categorical[query * context.num_categorical + step.column];
        if (outside(id, table.num_rows)) {
          refuse_id(feature_name(program_->context().categorical, step.column, "categorical"), id,
                    table.num_rows, " in row " + std::to_string(query));
        }
        kernels.gather(table, &id, 1, out);
        break;
      }
      case Op::kPool: {
        const Lists& lists = context.lists[step.column];
        check_list(lists, query, program_->table_at(step.table).num_rows,
                   ListedFeature{program_->context().multi_valued, step.column});
        pool_one(step, own, call, lists, query, query, out);
        break;
      }
      case Op::kDense: dense_of_query(step, call, query, out); break;
      case Op::kBuildCross:
      case Op::kBuildScaled: build(step, own); break;
      default: compute(step, own, own, 1, x, y, 1, out);
    }
  }
  prepare_row_sums(own, call, query);
  ++own.num_queries;
}

void Machine::run_block(const Workspace& once, Workspace& own, const Call& call,
                        const Block& block) const {
  const Kernels& kernels = program_->kernels();
  const int lanes = block.lanes;
  const auto at = [&](const Tile& tile) -> const float* {
    return tile.per_block ? own.block_arena.data() + std::ptrdiff_t{tile.row} * lanes
                          : once.query_arena.data() + tile.row;
  };
  std::size_t number = 0;
  for (const Instruction& step : program_->block()) {
    const Stopwatch stopwatch(own.block_seconds, number++);
    float* out = own.block_arena.data() + std::ptrdiff_t{step.out.row} * lanes;
    switch (step.op) {
      case Op::kLookup: {
        const Table& table = table_of(step, call);
        const std::ptrdiff_t slot = step.computed == kNone
                                        ? step.id_slot
                                        : std::ssize(program_->id_columns()) + step.computed;
        const std::int64_t* ids = block.ids + slot * kMaxLanes;
        if (step.out.pairs) {
          kernels.gather_pairs(table, ids, lanes, reinterpret_cast<std::uint32_t*>(out));
        } else {
          kernels.gather(table, ids, lanes, out);
        }
        break;
      }
      case Op::kRecord:
        kernels.gather_columns(records_, block.rows, step.start, step.out.width, lanes, out);
        break;
      case Op::kRecordScore: record_score(step, once, own, block, out); break;
      case Op::kPool: pool_items(step, own, call, block, out); break;
      case Op::kRowSum: row_sum(step, once, call, block, out); break;
      case Op::kDense:
        for (const Run& run : step.runs) {
          kernels.gather_columns(dense_, block.rows, run.start, run.width, lanes, out);
          out += std::ptrdiff_t{run.width} * lanes;
        }
        break;
      case Op::kGiven: given(step, call, block, out); break;
      default:
        compute(step, once, own, lanes, at(step.x), at(step.y), step.y.per_block ? lanes : 1, out);
    }
  }
  ++own.num_blocks;
}

// Instructions that are the same in both lists.
void Machine::compute(const Instruction& step, const Workspace& once, Workspace& own, int lanes,
                      const float* x, const float* y, int lanes_y, float* out) const {
  const Kernels& kernels = program_->kernels();
  const int width = step.out.width;
  switch (step.op) {
    case Op::kLinear: linear(step, once, own, lanes, x, y, out); break;
    case Op::kAffine: {
      const float* subtract = step.subtract == kNone ? nullptr : program_->vector_at(step.subtract);
      const float* scale = step.scale == kNone ? nullptr : program_->vector_at(step.scale);
      for (int i = 0; i < width; ++i) {
        const float less = subtract == nullptr ? 0.0f : subtract[i];
        const float times = scale == nullptr ? 1.0f : scale[i];
        for (int lane = 0; lane < lanes; ++lane) *out++ = (*x++ - less) * times;
      }
      break;
    }
    case Op::kRelu: kernels.relu(x, width, lanes, out); break;
    case Op::kAdd: kernels.add(x, y, width, lanes, lanes_y, out); break;
    case Op::kMultiply: kernels.multiply(x, y, width, lanes, lanes_y, out); break;
    case Op::kPairDots: kernels.pair_dots(dots_of(step, own, lanes, x, nullptr, 1, out)); break;
    case Op::kCrossDots:
      kernels.cross_dots(dots_of(step, own, lanes, x, y, lanes_y, out));
      break;
    case Op::kCopy:
      if (step.x.per_block == step.out.per_block) {
        std::memcpy(out, x, sizeof(float) * static_cast<std::size_t>(step.out.rows()) * lanes);
      } else {
        for (int i = 0; i < width; ++i) out = std::fill_n(out, lanes, x[i]);
      }
      break;
    default: break;
  }
}

DotsArgs Machine::dots_of(const Instruction& step, Workspace& own, int lanes, const float* x,
                          const float* y, int lanes_y, float* out) {
  DotsArgs args;
  args.x = x;
  args.y = y;
  args.out = out;
  args.num_x = step.x.width / step.dim;
  args.num_y = step.y.width / step.dim;
  args.dim = step.dim;
  args.lanes = lanes;
  args.lanes_y = lanes_y;
  args.in_pairs = step.x.pairs;
  args.y_in_pairs = step.y.pairs;
  args.out_pairs = step.out.pairs;
  args.scratch = own.scratch.data();
  return args;
}

void Machine::linear(const Instruction& step, const Workspace& once, Workspace& own, int lanes,
                     const float* x, const float* y, float* out) const {
  LinearArgs args;
  if (step.slot == kNone) {
    args.matrix = program_->matrix_at(step.matrix);
  } else {
    const Slot& slot = program_->slot_at(step.slot);
    args.matrix = {once.slots.data() + slot.offset, slot.num_outputs, slot.num_inputs,
                   slot.precision};
  }
  args.in = x;
  args.out = out;
  args.in_pairs = step.x.pairs;
  args.out_pairs = step.out.pairs;
  if (step.bias != kNone) args.bias = program_->vector_at(step.bias);
  if (step.bias_at.width > 0) args.bias = once.query_arena.data() + step.bias_at.row;
  if (step.has_addend) args.addend = y;
  args.lanes = lanes;
  args.relu = step.relu;
  args.scratch = own.scratch.data();
  if (args.matrix.num_inputs > 0) {
    program_->kernels().linear(args);
    return;
  }
  for (int i = 0; i < step.out.width; ++i) {  // nothing to multiply
    for (int lane = 0; lane < lanes; ++lane) {
      const std::ptrdiff_t place = std::ptrdiff_t{i} * lanes + lane;
      float value = args.bias == nullptr ? 0.0f : args.bias[i];
      if (args.addend != nullptr) value += args.addend[place];
      out[place] = args.relu && value < 0.0f ? 0.0f : value;
    }
  }
}

void Machine::record_score(const Instruction& step, const Workspace& once, Workspace& own,
                           const Block& block, float* out) const {
  RecordScoreArgs args;
  args.shape = program_->record_shape(step);
  args.records = records_;
  args.rows = block.rows;
  args.lanes = block.lanes;
  args.start = step.start;
  args.constant = step.constant;
  args.y = once.query_arena.data() + step.y.row;
  if (step.slot == kNone) {
    args.weights = program_->matrix_at(step.matrix).data;
    args.precision = program_->matrix_at(step.matrix).precision;
  } else {
    args.weights = once.slots.data() + program_->slot_at(step.slot).offset;
    args.precision = program_->slot_at(step.slot).precision;
  }
  args.bias = step.bias == kNone ? once.query_arena.data() + step.bias_at.row
                                 : program_->vector_at(step.bias);
  args.head = program_->vector_at(step.head);
  if (step.head_bias != kNone) args.head_bias = *program_->vector_at(step.head_bias);
  args.out = out;
  args.scratch = own.scratch.data();
  program_->kernels().record_scores(args);
}

void Machine::build(const Instruction& step, Workspace& own) const {
  const Slot& slot = program_->slot_at(step.slot);
  const Matrix& matrix = program_->matrix_at(step.matrix);
  const float* y = own.query_arena.data() + step.y.row;
  void* packed = own.slots.data() + slot.offset;
  if (step.op == Op::kBuildCross) {
    program_->kernels().build_cross(matrix.data, y, slot.num_outputs, slot.num_inputs / step.dim,
                                    step.y.width / step.dim, step.dim, slot.precision, packed);
    return;
  }
  const void* base = step.base == kNone ? nullptr : program_->matrix_at(step.base).data;
  program_->kernels().build_scaled(base, matrix.data, y, slot.num_outputs, slot.num_inputs,
                                   slot.precision, packed);
}

void Machine::dense_of_query(const Instruction& step, const Call& call, std::int64_t query,
                             float* out) const {
  const float* from = call.context->dense + query * call.context->num_dense;
  for (std::int32_t column : step.columns) {
    *out = from[column];
    if (!is_finite(*out++)) {
      throw NotFiniteError(feature_name(program_->context().dense, column, "dense") +
                           " is not finite in row " + std::to_string(query));
    }
  }
}

void Machine::given(const Instruction& step, const Call& call, const Block& block,
                    float* out) const {
  const int width = step.out.width;
  const float* from =
      call.given + (block.query * call.num_candidates + block.first) * std::int64_t{width};
  for (int lane = 0; lane < block.lanes; ++lane) {
    const float* scores = from + std::int64_t{std::min(lane, block.count - 1)} * width;
    for (int i = 0; i < width; ++i) {
      if (!is_finite(scores[i])) {
        throw NotFiniteError("given score " + std::to_string(i) + " of candidate " +
                             std::to_string(block.first + lane) + " of query " +
                             std::to_string(block.query) + " is not finite");
      }
      out[std::ptrdiff_t{i} * block.lanes + lane] = scores[i];
    }
  }
}

const Table& Machine::table_of(const Instruction& step, const Call& call) const {
  return step.computed == kNone ? program_->table_at(step.table) : call.made->table(step.table);
}

void Machine::pool_items(const Instruction& step, Workspace& own, const Call& call,
                         const Block& block, float* out) const {
  const Lists& lists = items_.lists[step.column];
  const int width = step.out.width;
  const std::int64_t place = block.query * call.num_candidates + block.first;
  if (block.lanes == 1) {
    pool_one(step, own, call, lists, block.rows[0], place, out);
    return;
  }
  if (static_cast<int>(own.pooled.size()) < width) own.pooled.resize(width);
  for (int lane = 0; lane < block.lanes; ++lane) {
    if (lane < block.count) {
      pool_one(step, own, call, lists, block.rows[lane], place + lane, own.pooled.data());
    }
    for (int i = 0; i < width; ++i) out[std::ptrdiff_t{i} * block.lanes + lane] = own.pooled[i];
  }
}

// Where the rows that a list reads begin: its ids, or the numbers of the rows made for them.
const std::int64_t* Machine::listed_rows(const Instruction& step, const Call& call,
                                         const Lists& lists, std::int64_t row,
                                         std::int64_t place) const {
  if (step.computed == kNone) return lists.values + lists.offsets[row];
  return call.made->numbers(step.computed) + call.made->starts(step.computed)[place];
}

void Machine::pool_one(const Instruction& step, Workspace& own, const Call& call,
                       const Lists& lists, std::int64_t row, std::int64_t place,
                       float* out) const {
  const std::int64_t start = lists.offsets[row], count = lists.offsets[row + 1] - start;
  const float* weights = lists.weights == nullptr ? own.ones_for(count) : lists.weights + start;
  const std::int64_t* rows = listed_rows(step, call, lists, row, place);
  program_->kernels().pool(table_of(step, call), rows, weights, count, out);
  if (step.norm == Norm::kSum) return;
  double size = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double weight = weights[i];
    size += step.norm == Norm::kMean ? std::abs(weight) : weight * weight;
  }
  if (step.norm == Norm::kL2) size = std::sqrt(size);
  const auto divisor = static_cast<float>(std::max(size, kSmallestNorm));
  for (int i = 0; i < step.out.width; ++i) out[i] /= divisor;
}

// Weights of the listed ids; and, for many candidates, the sums of whole rows.
void Machine::prepare_row_sums(Workspace& own, const Call& call, std::int64_t query) const {
  for (std::size_t number = 0; number < row_sums_.size(); ++number) {
    const Instruction& step = *row_sums_[number];
    const Table& table = table_of(step, call);
    const Lists& lists = call.context->lists[step.list];
    if (step.computed == kNone) {  // made rows were looked at when they were made
      check_list(lists, query, table.num_rows,
                 ListedFeature{program_->context().multi_valued, step.list});
    }
    const std::int64_t start = lists.offsets[query], count = lists.offsets[query + 1] - start;
    Workspace::RowSums& sums = own.row_sums[number];
    sums.rows = listed_rows(step, call, lists, query, query);
    if (lists.weights != nullptr) {
      sums.weights.assign(lists.weights + start, lists.weights + start + count);
    } else {
      sums.weights.assign(static_cast<std::size_t>(count), 1.0f);
    }
    if (step.scale != kNone) {
      const float* points = program_->vector_at(step.scale);
      for (float& weight : sums.weights) {
        weight = weighted(weight, points, program_->vector_size(step.scale));
      }
    }
    sums.whole = call.num_candidates * kPickCost >= table.dim;
    if (!sums.whole) continue;
    sums.all.resize(static_cast<std::size_t>(table.dim));
    program_->kernels().pool(table, sums.rows, sums.weights.data(), count, sums.all.data());
  }
}

void Machine::row_sum(const Instruction& step, const Workspace& once, const Call& call,
                      const Block& block, float* out) const {
  const auto number = static_cast<std::size_t>(
      std::find(row_sums_.begin(), row_sums_.end(), &step) - row_sums_.begin());
  const Workspace::RowSums& sums = once.row_sums[number];
  const std::int64_t* ids = block.ids + std::ptrdiff_t{step.id_slot} * kMaxLanes;
  if (sums.whole) {
    for (int lane = 0; lane < block.lanes; ++lane) out[lane] = sums.all[ids[lane]];
    return;
  }
  const Table& table = table_of(step, call);
  std::fill_n(out, block.lanes, 0.0f);
  for (std::size_t i = 0; i < sums.weights.size(); ++i) {
    const auto* row = reinterpret_cast<const float*>(table.data + sums.rows[i] * table.row_bytes);
    for (int lane = 0; lane < block.lanes; ++lane) out[lane] += sums.weights[i] * row[ids[lane]];
  }
}

}  // namespace recfunnel
