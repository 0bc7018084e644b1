#include "machine.hpp"

#include <unistd.h>

#include <algorithm>
#include <limits>

#include "machine_parts.hpp"
#include "made_rows.hpp"

namespace recfunnel {
namespace {

constexpr int kFewestForBlock = 8;  // fewer candidates than this are run one by one
constexpr std::int64_t kCandidatesPerThread = 256;
constexpr std::size_t kBlockArenaBytes = 512 * 1024;  // about half of a second-level cache
// Records in order the processor sees coming by itself, shorter ones even when several are read
// side by side; fetching them by instruction would cost a fifth of a scan.
constexpr std::int64_t kFollowedBytes = 256;
constexpr std::int64_t kNearBytes = 128 * 1024;  // smaller tables are in a near cache anyway

// Where tasks begin among the candidates of one query, and its end. Each takes a share of the blocks
// that are left: few tasks, and threads that finish within about a block of each other.
void share_out(std::int64_t num_candidates, int lanes, int threads,
               std::vector<std::int64_t>& starts) {
  const std::int64_t blocks = (num_candidates + lanes - 1) / lanes;
  starts.assign(1, 0);
  for (std::int64_t block = 0; block < blocks;) {
    block += std::max<std::int64_t>(1, (blocks - block) / (2 * threads));
    starts.push_back(std::min(num_candidates, block * lanes));
  }
}

// Threads beyond the processors only wait for one another; some are let through, for machines whose
// processors come and go.
int checked_threads(int asked) {
  constexpr long kThreadsAProcessor = 8;
  const long processors = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  const long most = kThreadsAProcessor * processors;
  if (asked >= 1 && asked <= most) return asked;
  throw InputError("a call may use 1 to " + std::to_string(most) + " threads on the " +
                   std::to_string(processors) + " processors of this machine, not " +
                   std::to_string(asked) + "; ask for one a processor");
}

}  // namespace

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

// A call with the rows of computed tables it reads.
class Machine::WithRows {
 public:
  WithRows(Machine& machine, const Call& call) : machine_(machine), call_(call) {
    if (machine.program_->computed_inputs().empty()) return;
    made_ = &machine.borrow_rows();
    call_.made = made_;
    try {
      made_->make(machine.items_, call, machine.pool_,
                  std::min(machine.pool_.num_threads(), call.most_threads));
    } catch (...) {
      machine.give_back(*made_);
      throw;
    }
  }
  ~WithRows() {
    if (made_ != nullptr) machine_.give_back(*made_);
  }
  WithRows(const WithRows&) = delete;
  WithRows& operator=(const WithRows&) = delete;

  const Call& call() const { return call_; }

 private:
  Machine& machine_;
  Call call_;
  MadeRows* made_ = nullptr;
};

Machine::Machine(std::shared_ptr<const Program> program, FeatureArrays items, Table records,
                 MachineOptions options)
    : program_(std::move(program)),
      items_(std::move(items)),
      records_(records),
      options_(options),
      lanes_(choose_lanes(options.lanes)),
      pool_(checked_threads(options.num_threads)) {
  for (const Instruction& step : program_->block()) {
    if (step.op == Op::kRowSum) row_sums_.push_back(&step);
    if (step.op == Op::kRecordScore) {
      scores_records_ = true;
      touches_records_ = records_.row_bytes > kFollowedBytes;
    }
    if (step.op == Op::kLookup && step.computed == kNone) {
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

MadeRows& Machine::borrow_rows() {
  const std::lock_guard lock(mutex_);
  if (idle_rows_.empty()) {
    made_rows_.push_back(std::make_unique<MadeRows>(*program_));
    idle_rows_.reserve(made_rows_.size());
    return *made_rows_.back();
  }
  MadeRows* found = idle_rows_.back();
  idle_rows_.pop_back();
  return *found;
}

void Machine::give_back(MadeRows& rows) {
  const std::lock_guard lock(mutex_);
  idle_rows_.push_back(&rows);
}

int Machine::threads_for(const Call& call) const {
  const int most = std::min(pool_.num_threads(), call.most_threads);
  if (most == 1) return 1;
  const std::int64_t num_queries = call.context->num_rows;
  const std::int64_t fills = num_queries * call.num_candidates / kCandidatesPerThread;
  return static_cast<int>(
      std::clamp<std::int64_t>(num_queries > 1 ? std::min(num_queries, fills) : fills, 1, most));
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
    std::vector<std::int64_t>& starts = spaces[0]->starts;
    share_out(call.num_candidates, lanes_, threads, starts);
    pool_.run(std::ssize(starts) - 1, threads, [&](std::int64_t task, int worker) {
      guarded(task, worker, [&](Workspace& own) {
        run_candidates(once, own, call, 0, starts[task], starts[task + 1], take);
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
  Borrowed spaces(*this, threads_for(call));
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
  const WithRows with_rows(*this, call);
  run_all(with_rows.call(), take, spaces.all());
}

void Machine::top_k(const Call& call, std::int64_t k, std::span<const std::int64_t> excluded,
                    TopK& top) {
  check_call(call);
  if (call.context->num_rows != 1 || result_width() != 1) {
    throw InputError("the best are chosen among the scores of one query, not of " +
                     std::to_string(call.context->num_rows));
  }
  const std::int64_t kept = std::clamp<std::int64_t>(k, 0, call.num_candidates);
  top.reset(program_->kernels(), kept);
  if (kept == 0) return;
  Borrowed spaces(*this, threads_for(call));
  const bool is_alone = spaces.all().size() == 1;
  if (!is_alone) {
    for (Workspace* each : spaces.all()) each->top.reset(program_->kernels(), kept);
  }
  const auto take = [&](Workspace& own, const float* tile, const Block& block) {
    TopK& best = is_alone ? top : own.top;
    auto left_out = std::lower_bound(excluded.begin(), excluded.end(), block.first);
    if (left_out == excluded.end() || *left_out >= block.first + block.count) {
      best.feed(tile, block.count, block.first);
      return;
    }
    float scores[kMaxLanes];
    std::copy_n(tile, block.count, scores);
    for (; left_out != excluded.end() && *left_out < block.first + block.count; ++left_out) {
      scores[*left_out - block.first] = -std::numeric_limits<float>::infinity();
    }
    best.feed(scores, block.count, block.first);
  };
  const WithRows with_rows(*this, call);
  run_all(with_rows.call(), take, spaces.all());
  if (!is_alone) {
    for (Workspace* each : spaces.all()) top.merge(each->top);
  }
  top.finish();
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
    if (touches_records_ && call.candidates == nullptr) {
      program_->kernels().touch(records_, block.first, block.count);
    }
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
  for (int lane = 0; lane < block.lanes && !columns.empty(); ++lane) {
    const std::int64_t* from = items_.categorical + rows[lane] * items_.num_categorical;
    for (std::size_t i = 0; i < columns.size(); ++i) ids[i * kMaxLanes + lane] = from[columns[i]];
  }
  if (call.made != nullptr) take_numbers(call, block, ids + columns.size() * kMaxLanes);
  if (!options_.prefetch) return block;
  const bool is_followed = call.candidates == nullptr && scores_records_;
  if (program_->record_width() > 0 && !is_followed) {
    program_->kernels().prefetch(records_, rows, block.count);
  }
  for (const Instruction* step : far_lookups_) {
    program_->kernels().prefetch(program_->table_at(step->table),
                                 ids + std::ptrdiff_t{step->id_slot} * kMaxLanes, block.count);
  }
  return block;
}

// Rows of computed tables, one a lane.
void Machine::take_numbers(const Call& call, const Block& block, std::int64_t* to) const {
  const std::int64_t place = block.query * call.num_candidates + block.first;
  std::int32_t number = 0;
  for (const ComputedInput& input : program_->computed_inputs()) {
    if (input.of_items && !input.listed) {
      const std::int64_t* rows = call.made->numbers(number) + place;
      std::copy_n(rows, block.count, to);
      std::fill(to + block.count, to + block.lanes, to[block.count - 1]);
    }
    ++number;
    to += kMaxLanes;
  }
}

// Features of the candidates after the next block, so that their ids are near when they are read.
void Machine::prefetch_after(const Call& call, std::int64_t query, std::int64_t start,
                             std::int64_t stop) const {
  if (ids_.data == nullptr && dense_.data == nullptr) return;
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
