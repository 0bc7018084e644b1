// What the parts of the machine share: what a block and a thread know, and how ids are refused.
#pragma once

#include <chrono>
#include <cstring>
#include <exception>

#include "machine.hpp"

namespace recfunnel {

inline bool is_finite(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7f800000u) != 0x7f800000u;
}

inline bool outside(std::int64_t id, std::int64_t num_ids) {
  return static_cast<std::uint64_t>(id) >= static_cast<std::uint64_t>(num_ids);
}

// How a feature is called in messages.
std::string feature_name(const std::vector<std::string>& names, int column, const char* kind);
// A multi-valued feature, by its column; its name is put together only where a message needs it.
struct ListedFeature {
  const std::vector<std::string>& names;
  int column;

  std::string name() const { return feature_name(names, column, "multi-valued"); }
};
[[noreturn]] void refuse_id(const std::string& feature, std::int64_t id, std::int64_t num_ids,
                            const std::string& where);
// Throws where offsets fall, or leave the values.
void check_offsets(const Lists& lists, std::int64_t num_rows, const ListedFeature& feature);
// Throws where a row lists an id outside its table, or has a weight that is not finite.
void check_list(const Lists& lists, std::int64_t row, std::int64_t num_ids,
                const ListedFeature& feature);

// What is known of a block of candidates.
struct Machine::Block {
  std::int64_t query = 0;
  std::int64_t first = 0;  // position of its first candidate
  int count = 0;           // candidates
  int lanes = 0;           // of its tiles; those past `count` repeat the last candidate
  const std::int64_t* rows = nullptr;  // of the items, one a lane
  const std::int64_t* ids = nullptr;   // (id columns and inputs of computed tables, kMaxLanes)
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
    const std::int64_t* rows = nullptr;  // of the table, one a listed id
    AlignedVector<float> all;       // sums over whole rows, where that is faster than picking
    bool whole = false;
  };

  explicit Workspace(const Program& program, int lanes, std::size_t num_row_sums, bool timed)
      : query_arena(static_cast<std::size_t>(program.query_rows()) + 2 * kLanes),
        block_arena((static_cast<std::size_t>(program.block_rows()) + 1) * lanes + kLanes),
        slots(program.slot_bytes() + kCacheLine),
        scratch(program.scratch_bytes() + kCacheLine),
        row_sums(num_row_sums) {
    const std::size_t num_ids = program.id_columns().size() + program.computed_inputs().size();
    for (auto& each : ids) each.resize((num_ids + 1) * kMaxLanes);
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
  std::vector<std::int64_t> starts;  // of the tasks of a query that is shared out
  TopK top;
  std::exception_ptr failure;
  std::int64_t failed_task = 0;
  std::vector<double> query_seconds, block_seconds;
  std::int64_t num_queries = 0, num_blocks = 0;
};

}  // namespace recfunnel
