// The rows of computed tables that one call reads: each id once, frequent ones copied, the others
// computed. Steps read them as an ordinary small table, by the numbers made here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "computed.hpp"
#include "machine.hpp"

namespace recfunnel {

// Numbers 0, 1, ... for different ids, in order of first sight.
class Numbering {
 public:
  void clear();
  std::uint32_t number_of(std::uint32_t id);
  std::span<const std::uint32_t> ids() const { return ids_; }

 private:
  struct Slot {
    std::uint32_t id = 0;
    std::uint32_t number = 0;
    std::uint32_t round = 0;  // empty unless it is this one
  };
  void grow();

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> ids_;
  std::uint32_t round_ = 0;
};

class MadeRows {
 public:
  explicit MadeRows(const Program& program);

  // Makes the rows of a call, on up to `threads` threads. Throws IdError or NotFiniteError for an
  // id of the context outside its table, or a weight; candidates that are no items are passed over.
  void make(const FeatureArrays& items, const Call& call, Pool& pool, int threads);

  // Of a table of the program, by its index there.
  const Table& table(std::int32_t table) const { return parts_[part_of_[table]].table; }
  // Of an input of the program. Lookups: a row for each query, or for each query and candidate.
  // Lists: the rows of all of them; those of place i begin at starts(input)[i], a place for each
  // query, or for each query and candidate.
  const std::int64_t* numbers(std::int32_t input) const { return inputs_[input].numbers.data(); }
  const std::int64_t* starts(std::int32_t input) const { return inputs_[input].starts.data(); }

  double seconds = 0;  // spent so far
  std::int64_t num_calls = 0;

 private:
  struct Part {
    const Program::Computed* computed;
    Numbering numbering;
    AlignedVector<float> rows;
    std::vector<std::uint32_t> cold;  // numbers of the ids to compute
    Table table;
  };
  struct Input {
    std::vector<std::int64_t> numbers, starts;
  };
  // Rows to compute: some of `cold` of a part.
  struct Task {
    std::int32_t part;
    std::size_t first;
    int count;
  };

  void number_inputs(const FeatureArrays& items, const Call& call);
  void number_lookups(const ComputedInput& from, const FeatureArrays& features, const Call& call,
                      Input& to);
  void number_lists(const ComputedInput& from, const FeatureArrays& features, const Call& call,
                    Input& to);
  std::int64_t number(Part& part, std::int64_t id);
  void copy_hot(Part& part);
  void compute(const Task& task, std::byte* scratch);

  const Program* program_;
  std::vector<std::int32_t> part_of_;  // by table of the program
  std::vector<Part> parts_;
  std::vector<Input> inputs_;
  std::vector<Task> tasks_;
  std::size_t scratch_bytes_ = 0;
  std::vector<AlignedVector<std::byte>> scratch_;  // one a thread
};

}  // namespace recfunnel
