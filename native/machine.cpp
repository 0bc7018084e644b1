#include "machine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>

namespace recfunnel {
namespace {

constexpr int kFewestForBlock = 8;  // fewer candidates than this are run one by one
constexpr std::int64_t kCandidatesPerThread = 256;
constexpr int kBlocksPerTask = 4;
constexpr std::int64_t kPickCost = 8;  // a number picked from a row costs about 8 read in order
constexpr std::size_t kBlockArenaBytes = 512 * 1024;  // about half of a second-level cache
constexpr std::int64_t kNearBytes = 128 * 1024;  // smaller tables are in a near cache anyway
constexpr double kSmallestNorm = 1e-12;

bool is_finite(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7f800000u) != 0x7f800000u;
}

std::string feature_name(const std::vector<std::string>& names, int column, const char* kind) {
  if (column < static_cast<int>(names.size())) return "'" + names[column] + "'";
  return std::string(kind) + " feature " + std::to_string(column);
}

[[noreturn]] void refuse_id(const std::string& feature, std::int64_t id, std::int64_t num_ids,
                            const std::string& where) {
  throw IdError(feature + " has id " + std::to_string(id) + where + ", allowed 0 to " +
                std::to_string(num_ids - 1) + " (0 is unknown)");
}

bool outside(std::int64_t id, std::int64_t num_ids) {
  return static_cast<std::uint64_t>(id) >= static_cast<std::uint64_t>(num_ids);
}

void check_offsets(const Lists& lists, std::int64_t num_rows, const std::string& feature) {
  std::int64_t last = 0;
  for (std::int64_t row = 0; row <= num_rows; ++row) {
    if (lists.offsets[row] < last || lists.offsets[row] > lists.num_values) {
      throw InputError("offsets of " + feature + " must rise from 0 to " +
                       std::to_string(lists.num_values) + "; offset " + std::to_string(row) +
                       " is " + std::to_string(lists.offsets[row]));
    }
    last = lists.offsets[row];
  }
}

void check_list(const Lists& lists, std::int64_t row, std::int64_t num_ids,
                const std::string& feature) {
  for (std::int64_t i = lists.offsets[row]; i < lists.offsets[row + 1]; ++i) {
    if (outside(lists.values[i], num_ids)) {
      refuse_id(feature, lists.values[i], num_ids, " in row " + std::to_string(row));
    }
    if (lists.weights != nullptr && !is_finite(lists.weights[i])) {
      throw NotFiniteError(feature + " has a weight that is not finite in row " +
                           std::to_string(row));
    }
  }
}

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

// What is known of a block of candidates.
struct Machine::Block {
  std::int64_t query = 0;
  std::int64_t first = 0;  // position of its first candidate
  int count = 0;           // candidates
  int lanes = 0;           // of its tiles; those past `count` repeat the last candidate
  const std::int64_t* rows = nullptr;  // of the items, one a lane
  const std::int64_t* ids = nullptr;   // (id columns, kMaxLanes)
};

// Adds the seconds until it goes out of scope to one of a list; an empty list measures nothing.
class Stopwatch {
 public:
  Stopwatch(std::vector<double>& seconds, std::size_t number)
      : to_(seconds.empty() ? nullptr : &seconds[number]) {
    if (to_ != nullptr) start_ = std::chrono::steady_clock::now();
  }
  ~Stopwatch() {
    if (to_ == nullptr) return;
    *to_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double* to_;
  std::chrono::steady_clock::time_point start_;
};

// What one thread remembers while it runs.
struct Machine::Workspace {
  struct RowSums {
    std::vector<float> weights;     // of the listed ids
    AlignedVector<float> all;       // sums over whole rows, where that is faster than picking
    bool whole = false;
  };

  explicit Workspace(const Program& program, int lanes, std::size_t num_row_sums, bool timed)
      : query_arena(static_cast<std::size_t>(program.query_rows()) + 2 * kLanes),
        block_arena((static_cast<std::size_t>(program.block_rows()) + 1) * lanes + kLanes),
        slots(program.slot_bytes() + kCacheLine),
        scratch(program.scratch_bytes() + kCacheLine),
        row_sums(num_row_sums) {
    for (auto& each : ids) each.resize((program.id_columns().size() + 1) * kMaxLanes);
    if (timed) {
      query_seconds.resize(program.query().size());
      block_seconds.resize(program.block().size());
    }
  }

  const float* ones_for(std::int64_t count) {
    if (static_cast<std::int64_t>(ones.size()) < count) ones.resize(count, 1.0f);
    return ones.data();
  }

  AlignedVector<float> query_arena, block_arena, pooled;
  AlignedVector<std::byte> slots, scratch;
  AlignedVector<std::int64_t> ids[2];  // of this block, and of the next
  alignas(kCacheLine) std::int64_t rows[2][kMaxLanes] = {};
  std::vector<float> ones;
  std::vector<RowSums> row_sums;
  TopK top;
  std::exception_ptr failure;
  std::int64_t failed_task = 0;
  std::vector<double> query_seconds, block_seconds;
  std::int64_t num_queries = 0, num_blocks = 0;
};

// Workspaces for the threads of a call, returned at its end.
class Machine::Borrowed {
 public:
  Borrowed(Machine& machine, int count) : machine_(machine), count_(count) {
    if (count > kMost) more_.resize(static_cast<std::size_t>(count));
    for (Workspace*& each : all()) each = &machine.borrow();
  }
  ~Borrowed() {
    for (Workspace* each : all()) machine_.give_back(*each);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  std::span<Workspace*> all() {
    return {more_.empty() ? few_ : more_.data(), static_cast<std::size_t>(count_)};
  }

 private:
  static constexpr int kMost = 16;  // beyond this many threads, the list is allocated
  Machine& machine_;
  int count_;
  Workspace* few_[kMost] = {};
  std::vector<Workspace*> more_;
};

Machine::Machine(std::shared_ptr<const Program> program, FeatureArrays items, Table records,
                 MachineOptions options)
    : program_(std::move(program)),
      items_(std::move(items)),
      records_(records),
      options_(options),
      lanes_(choose_lanes(options.lanes)),
      pool_(options.num_threads) {
  for (const Instruction& step : program_->block()) {
    if (step.op == Op::kRowSum) row_sums_.push_back(&step);
    if (step.op == Op::kLookup) {
      const Table& table = program_->table_at(step.table);
      if (table.num_rows * table.row_bytes > kNearBytes) far_lookups_.push_back(&step);
    }
    if (step.op == Op::kDense) {
      dense_ = {reinterpret_cast<const std::byte*>(items_.dense), items_.num_rows,
                std::int64_t{items_.num_dense} * 4, items_.num_dense, Storage::kFloat32};
    }
  }
  if (!program_->id_columns().empty()) {  // as rows of bytes, only to fetch them ahead
    ids_ = {reinterpret_cast<const std::byte*>(items_.categorical), items_.num_rows,
            std::int64_t{items_.num_categorical} * 8, 2 * items_.num_categorical,
            Storage::kFloat32};
  }
  check_items();
}

Machine::~Machine() = default;

// As many lanes as keep a block's tiles in about half of a core's second-level cache.
int Machine::choose_lanes(int asked) const {
  if (asked != 0) {
    if (asked % kLanes != 0 || asked < kLanes || asked > kMaxLanes) {
      throw InputError("a block has 16, 32 or 48 lanes, not " + std::to_string(asked));
    }
    return asked;
  }
  int lanes = kMaxLanes;
  const std::size_t row_bytes = sizeof(float) * static_cast<std::size_t>(program_->block_rows());
  while (lanes > kLanes && row_bytes * lanes > kBlockArenaBytes) lanes -= kLanes;
  return lanes;
}

// Everything the program will read of the items is looked at once, here.
void Machine::check_items() const {
  const std::int64_t rows = items_.num_rows;
  for (const Instruction& step : program_->block()) {
    const bool by_id = step.op == Op::kLookup || step.op == Op::kRowSum;
    if (by_id) {
      if (step.column >= items_.num_categorical) {
        throw InputError("the program reads categorical feature " + std::to_string(step.column) +
                         " of the items, which have " + std::to_string(items_.num_categorical));
      }
      const Table& table = program_->table_at(step.table);
      const std::int64_t num_ids = step.op == Op::kLookup ? table.num_rows : table.dim;
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t id = items_.categorical[row * items_.num_categorical + step.column];
        if (outside(id, num_ids)) {
          refuse_id(feature_name(program_->items().categorical, step.column, "categorical"), id,
                    num_ids, " in row " + std::to_string(row));
        }
      }
    } else if (step.op == Op::kPool) {
      if (step.column >= static_cast<int>(items_.lists.size())) {
        throw InputError("the program reads multi-valued feature " + std::to_string(step.column) +
                         " of the items, which have " + std::to_string(items_.lists.size()));
      }
      const std::string feature =
          feature_name(program_->items().multi_valued, step.column, "multi-valued");
      const Lists& lists = items_.lists[step.column];
      check_offsets(lists, rows, feature);
      for (std::int64_t row = 0; row < rows; ++row) {
        check_list(lists, row, program_->table_at(step.table).num_rows, feature);
      }
    } else if (step.op == Op::kDense) {
      for (std::int32_t column : step.columns) {
        if (column >= items_.num_dense) {
          throw InputError("the program reads dense feature " + std::to_string(column) +
                           " of the items, which have " + std::to_string(items_.num_dense));
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          if (!is_finite(items_.dense[row * items_.num_dense + column])) {
            throw NotFiniteError(feature_name(program_->items().dense, column, "dense") +
                                 " is not finite in row " + std::to_string(row));
          }
        }
      }
    } else if (step.op == Op::kRecord) {
      if (records_.data == nullptr || records_.num_rows != rows ||
          records_.dim < program_->record_width()) {
        throw InputError("the program reads records " + std::to_string(program_->record_width()) +
                         " wide of " + std::to_string(rows) + " items; given are " +
                         std::to_string(records_.num_rows) + " records " +
                         std::to_string(records_.dim) + " wide");
      }
    }
  }
}

void Machine::check_call(const Call& call) const {
  const FeatureArrays& context = *call.context;
  const auto refuse = [](const char* kind, std::int64_t column, std::int64_t have) {
    throw InputError(std::string("the program reads ") + kind + " feature " +
                     std::to_string(column) + " of the context, which has " + std::to_string(have));
  };
  const auto check_lists = [&](int column) {
    if (column >= static_cast<int>(context.lists.size())) {
      refuse("multi-valued", column, static_cast<std::int64_t>(context.lists.size()));
    }
    const auto& names = program_->context().multi_valued;
    check_offsets(context.lists[column], context.num_rows,
                  feature_name(names, column, "multi-valued"));
  };
  for (const Instruction& step : program_->query()) {
    if (step.op == Op::kLookup && step.column >= context.num_categorical) {
      refuse("categorical", step.column, context.num_categorical);
    }
    if (step.op == Op::kPool) check_lists(step.column);
    if (step.op != Op::kDense) continue;
    for (std::int32_t column : step.columns) {
      if (column >= context.num_dense) refuse("dense", column, context.num_dense);
    }
  }
  for (const Instruction* step : row_sums_) check_lists(step->list);
  if (program_->given_width() > 0 && call.given == nullptr) {
    throw InputError("the program reads " + std::to_string(program_->given_width()) +
                     " given scores a candidate, none were given");
  }
}

Machine::Workspace& Machine::borrow() {
  const std::lock_guard lock(mutex_);
  if (idle_.empty()) {
    workspaces_.push_back(
        std::make_unique<Workspace>(*program_, lanes_, row_sums_.size(), options_.timed));
    idle_.reserve(workspaces_.size());
    return *workspaces_.back();
  }
  Workspace* found = idle_.back();
  idle_.pop_back();
  return *found;
}

void Machine::give_back(Workspace& workspace) {
  const std::lock_guard lock(mutex_);
  idle_.push_back(&workspace);
}

int Machine::threads_for(std::int64_t num_queries, std::int64_t num_candidates) const {
  if (pool_.num_threads() == 1) return 1;
  const std::int64_t useful = num_queries > 1
                                  ? std::min(num_queries, num_queries * num_candidates /
                                                              kCandidatesPerThread)
                                  : num_candidates / kCandidatesPerThread;
  return static_cast<int>(std::clamp<std::int64_t>(useful, 1, pool_.num_threads()));
}

// Many queries are shared out whole; the candidates of a single one in runs of some blocks. Which
// thread takes what changes nothing: a candidate's result depends on the query and itself alone.
template <class Take>
void Machine::run_all(const Call& call, Take&& take, std::span<Workspace*> spaces) {
  const std::int64_t num_queries = call.context->num_rows;
  const int threads = static_cast<int>(spaces.size());
  if (threads == 1) {
    Workspace& own = *spaces[0];
    for (std::int64_t query = 0; query < num_queries; ++query) {
      run_query(own, call, query);
      run_candidates(own, own, call, query, 0, call.num_candidates, take);
    }
    return;
  }
  const auto guarded = [&](std::int64_t task, int worker, auto&& work) {
    Workspace& own = *spaces[worker];
    if (own.failure) return;
    try {
      work(own);
    } catch (...) {
      own.failure = std::current_exception();
      own.failed_task = task;
    }
  };
  if (num_queries > 1) {
    pool_.run(num_queries, threads, [&](std::int64_t query, int worker) {
      guarded(query, worker, [&](Workspace& own) {
        run_query(own, call, query);
        run_candidates(own, own, call, query, 0, call.num_candidates, take);
      });
    });
  } else {
    const Workspace& once = *spaces[0];
    run_query(*spaces[0], call, 0);
    const std::int64_t step = std::int64_t{kBlocksPerTask} * lanes_;
    pool_.run((call.num_candidates + step - 1) / step, threads,
              [&](std::int64_t task, int worker) {
                guarded(task, worker, [&](Workspace& own) {
                  const std::int64_t stop = std::min(call.num_candidates, (task + 1) * step);
                  run_candidates(once, own, call, 0, task * step, stop, take);
                });
              });
  }
  const Workspace* first = nullptr;
  for (Workspace* each : spaces) {
    if (each->failure && (first == nullptr || each->failed_task < first->failed_task)) first = each;
  }
  const std::exception_ptr failure = first == nullptr ? nullptr : first->failure;
  for (Workspace* each : spaces) each->failure = nullptr;
  if (failure) std::rethrow_exception(failure);
}

void Machine::run(const Call& call, float* out) {
  check_call(call);
  if (call.num_candidates == 0 || call.context->num_rows == 0) return;
  Borrowed spaces(*this, threads_for(call.context->num_rows, call.num_candidates));
  const int width = program_->result().width;
  const auto take = [&](Workspace&, const float* tile, const Block& block) {
    float* to = out + (block.query * call.num_candidates + block.first) * width;
    if (width == 1) {
      std::memcpy(to, tile, sizeof(float) * static_cast<std::size_t>(block.count));
      return;
    }
    for (int lane = 0; lane < block.count; ++lane) {
      for (int i = 0; i < width; ++i) *to++ = tile[std::ptrdiff_t{i} * block.lanes + lane];
    }
  };
  run_all(call, take, spaces.all());
}

void Machine::top_k(const Call& call, std::int64_t k, std::span<const std::int64_t> excluded,
                    TopK& top) {
  check_call(call);
  if (call.context->num_rows != 1 || result_width() != 1) {
    throw InputError("the best are chosen among the scores of one query, not of " +
                     std::to_string(call.context->num_rows));
  }
  const std::int64_t kept = std::clamp<std::int64_t>(k, 0, call.num_candidates);
  top.reset(kept);
  if (kept == 0) return;
  Borrowed spaces(*this, threads_for(1, call.num_candidates));
  for (Workspace* each : spaces.all()) each->top.reset(kept);
  const auto take = [&](Workspace& own, const float* tile, const Block& block) {
    auto left_out = std::lower_bound(excluded.begin(), excluded.end(), block.first);
    if (left_out == excluded.end() || *left_out >= block.first + block.count) {
      own.top.feed(program_->kernels(), tile, block.count, block.first);
      return;
    }
    float scores[kMaxLanes];
    std::copy_n(tile, block.count, scores);
    for (; left_out != excluded.end() && *left_out < block.first + block.count; ++left_out) {
      scores[*left_out - block.first] = -std::numeric_limits<float>::infinity();
    }
    own.top.feed(program_->kernels(), scores, block.count, block.first);
  };
  run_all(call, take, spaces.all());
  for (Workspace* each : spaces.all()) top.merge(each->top);
  top.finish();
}

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
                   feature_name(program_->context().multi_valued, step.column, "multi-valued"));
        pool_one(step, own, lists, query, out);
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

template <class Take>
void Machine::run_candidates(const Workspace& once, Workspace& own, const Call& call,
                             std::int64_t query, std::int64_t start, std::int64_t stop,
                             Take&& take) const {
  if (start == stop) return;
  const Tile result = program_->result();
  int buffer = 0;
  Block block = next_block(own, buffer, call, query, start, stop);
  while (true) {
    const std::int64_t after = block.first + block.count;
    const Block next =
        after < stop ? next_block(own, buffer ^= 1, call, query, after, stop) : Block{};
    run_block(once, own, call, block);
    const float* tile = own.block_arena.data() + std::ptrdiff_t{result.row} * block.lanes;
    check_results(tile, block);
    take(own, tile, block);
    if (after >= stop) return;
    block = next;
  }
}

// The candidates from `start`, their rows checked, and what they read fetched ahead.
Machine::Block Machine::next_block(Workspace& own, int buffer, const Call& call,
                                   std::int64_t query, std::int64_t start,
                                   std::int64_t stop) const {
  const std::int64_t left = stop - start;
  Block block;
  block.query = query;
  block.first = start;
  block.rows = own.rows[buffer];
  block.ids = own.ids[buffer].data();
  if (left >= lanes_) {
    block.count = block.lanes = lanes_;
  } else if (left >= kFewestForBlock) {
    block.count = static_cast<int>(left);
    block.lanes = (block.count + kLanes - 1) / kLanes * kLanes;
  } else {
    block.count = block.lanes = 1;
  }
  std::int64_t* rows = own.rows[buffer];
  if (call.candidates == nullptr) {
    for (int lane = 0; lane < block.count; ++lane) rows[lane] = start + lane;
  } else {
    const std::int64_t* candidates = call.candidates + query * call.num_candidates + start;
    bool bad = false;
    for (int lane = 0; lane < block.count; ++lane) {
      rows[lane] = candidates[lane];
      bad |= outside(candidates[lane], items_.num_rows);
    }
    if (bad) {
      const auto* first = std::find_if(candidates, candidates + block.count, [&](auto row) {
        return outside(row, items_.num_rows);
      });
      throw InputError("candidate " + std::to_string(start + (first - candidates)) +
                       " of query " + std::to_string(query) + " is item " +
                       std::to_string(*first) + ", allowed 0 to " +
                       std::to_string(items_.num_rows - 1));
    }
  }
  for (int lane = block.count; lane < block.lanes; ++lane) rows[lane] = rows[block.count - 1];
  const auto& columns = program_->id_columns();
  std::int64_t* ids = own.ids[buffer].data();
  if (options_.prefetch) prefetch_after(call, query, start + block.count, stop);
  for (int lane = 0; lane < block.lanes; ++lane) {
    const std::int64_t* from = items_.categorical + rows[lane] * items_.num_categorical;
    for (std::size_t i = 0; i < columns.size(); ++i) ids[i * kMaxLanes + lane] = from[columns[i]];
  }
  if (!options_.prefetch) return block;
  if (program_->record_width() > 0) program_->kernels().prefetch(records_, rows, block.count);
  for (const Instruction* step : far_lookups_) {
    program_->kernels().prefetch(program_->table_at(step->table),
                                 ids + std::ptrdiff_t{step->id_slot} * kMaxLanes, block.count);
  }
  return block;
}

// Features of the candidates after the next block, so that their ids are near when they are read.
void Machine::prefetch_after(const Call& call, std::int64_t query, std::int64_t start,
                             std::int64_t stop) const {
  if (call.candidates == nullptr) return;  // in order: the processor fetches them itself
  const std::int64_t* candidates = call.candidates + query * call.num_candidates;
  const std::int64_t end = std::min(stop, start + lanes_);
  std::int64_t rows[kMaxLanes];
  int count = 0;
  for (std::int64_t i = start; i < end; ++i) {
    if (!outside(candidates[i], items_.num_rows)) rows[count++] = candidates[i];
  }
  if (ids_.data != nullptr) program_->kernels().prefetch(ids_, rows, count);
  if (dense_.data != nullptr) program_->kernels().prefetch(dense_, rows, count);
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
      case Op::kLookup:
        kernels.gather(program_->table_at(step.table),
                       block.ids + std::ptrdiff_t{step.id_slot} * kMaxLanes, lanes, out);
        break;
      case Op::kRecord:
        kernels.gather_columns(records_, block.rows, step.start, step.out.width, lanes, out);
        break;
      case Op::kPool: pool_items(step, own, block, out); break;
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
    case Op::kPairDots: kernels.pair_dots(x, step.x.width / step.dim, step.dim, lanes, out); break;
    case Op::kCrossDots:
      kernels.cross_dots(x, y, step.x.width / step.dim, step.y.width / step.dim, step.dim, lanes,
                         lanes_y, out);
      break;
    case Op::kCopy:
      if (step.x.per_block == step.out.per_block) {
        std::memcpy(out, x, sizeof(float) * static_cast<std::size_t>(width) * lanes);
      } else {
        for (int i = 0; i < width; ++i) out = std::fill_n(out, lanes, x[i]);
      }
      break;
    default: break;
  }
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

void Machine::pool_items(const Instruction& step, Workspace& own, const Block& block,
                         float* out) const {
  const Lists& lists = items_.lists[step.column];
  const int width = step.out.width;
  if (block.lanes == 1) {
    pool_one(step, own, lists, block.rows[0], out);
    return;
  }
  if (static_cast<int>(own.pooled.size()) < width) own.pooled.resize(width);
  for (int lane = 0; lane < block.lanes; ++lane) {
    if (lane < block.count) pool_one(step, own, lists, block.rows[lane], own.pooled.data());
    for (int i = 0; i < width; ++i) out[std::ptrdiff_t{i} * block.lanes + lane] = own.pooled[i];
  }
}

void Machine::pool_one(const Instruction& step, Workspace& own, const Lists& lists,
                       std::int64_t row, float* out) const {
  const std::int64_t start = lists.offsets[row], count = lists.offsets[row + 1] - start;
  const float* weights = lists.weights == nullptr ? own.ones_for(count) : lists.weights + start;
  program_->kernels().pool(program_->table_at(step.table), lists.values + start, weights, count,
                           out);
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
    const Table& table = program_->table_at(step.table);
    const Lists& lists = call.context->lists[step.list];
    check_list(lists, query, table.num_rows,
               feature_name(program_->context().multi_valued, step.list, "multi-valued"));
    const std::int64_t start = lists.offsets[query], count = lists.offsets[query + 1] - start;
    Workspace::RowSums& sums = own.row_sums[number];
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
    program_->kernels().pool(table, lists.values + start, sums.weights.data(), count,
                             sums.all.data());
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
  const Table& table = program_->table_at(step.table);
  const Lists& lists = call.context->lists[step.list];
  std::fill_n(out, block.lanes, 0.0f);
  const std::int64_t* listed = lists.values + lists.offsets[block.query];
  for (std::size_t i = 0; i < sums.weights.size(); ++i) {
    const auto* row = reinterpret_cast<const float*>(table.data + listed[i] * table.row_bytes);
    for (int lane = 0; lane < block.lanes; ++lane) out[lane] += sums.weights[i] * row[ids[lane]];
  }
}

void Machine::check_results(const float* tile, const Block& block) const {
  const std::ptrdiff_t count = std::ptrdiff_t{program_->result().width} * block.lanes;
  bool finite = true;
  for (std::ptrdiff_t i = 0; i < count; ++i) finite &= is_finite(tile[i]);
  if (finite) return;
  std::ptrdiff_t bad = 0;
  while (is_finite(tile[bad])) ++bad;
  const std::int64_t column =
      block.first + std::min<std::ptrdiff_t>(bad % block.lanes, block.count - 1);
  throw NotFiniteError("returned " + std::to_string(tile[bad]) + " at (" +
                       std::to_string(block.query) + ", " + std::to_string(column) +
                       "); lower its learning rate or check its inputs");
}

std::vector<Timing> Machine::timings() {
  const std::lock_guard lock(mutex_);
  std::vector<Timing> found;
  const auto add = [&](const std::vector<Instruction>& steps, bool per_block) {
    for (std::size_t i = 0; i < steps.size(); ++i) {
      Timing timing{name_of(steps[i].op), per_block, 0, 0};
      for (const auto& each : workspaces_) {
        const auto& seconds = per_block ? each->block_seconds : each->query_seconds;
        if (i < seconds.size()) timing.seconds += seconds[i];
        timing.count += per_block ? each->num_blocks : each->num_queries;
      }
      found.push_back(timing);
    }
  };
  add(program_->query(), false);
  add(program_->block(), true);
  return found;
}

}  // namespace recfunnel
