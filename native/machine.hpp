// Runs a program for queries: its query list once, its block list for each block of candidates.
//
// A machine is fixed when made and can be called from several threads at once. What a call needs to
// remember lives in a workspace that is kept for the next call: nothing is allocated once the sizes
// of the first queries are known.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory.hpp"
#include "pool.hpp"
#include "program.hpp"
#include "topk.hpp"

namespace recfunnel {

class MadeRows;

// What a call gives breaks a rule: shapes, or rows of candidates that do not exist.
struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// A feature holds an id outside its table.
struct IdError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// A number that is not finite, going in or coming out.
struct NotFiniteError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Rows of different lengths: row i is values[offsets[i]] to values[offsets[i + 1] - 1].
struct Lists {
  const std::int64_t* values = nullptr;
  const std::int64_t* offsets = nullptr;
  const float* weights = nullptr;  // null: all 1
  std::int64_t num_values = 0;
};

// Features of some rows of one side.
struct FeatureArrays {
  const std::int64_t* categorical = nullptr;  // (rows, num_categorical)
  const float* dense = nullptr;               // (rows, num_dense)
  std::int64_t num_rows = 0;
  int num_categorical = 0, num_dense = 0;
  std::vector<Lists> lists;
};

// A call: a query for each row of the context.
struct Call {
  const FeatureArrays* context = nullptr;
  const std::int64_t* candidates = nullptr;  // (queries, num_candidates); null: all, in order
  std::int64_t num_candidates = 0;
  const float* given = nullptr;  // (queries, num_candidates, width)
  int most_threads = std::numeric_limits<int>::max();
  const MadeRows* made = nullptr;  // rows of computed tables; the machine's own matter
};

struct MachineOptions {
  int num_threads = 1;
  int lanes = 0;       // candidates in a block; 0 chooses
  bool timed = false;  // measure every instruction (slower)
  bool prefetch = true;
};

struct Timing {
  const char* name;
  bool per_block;
  double seconds;
  std::int64_t count;
};

class Machine {
 public:
  // items: features of all candidates; columns the program does not read may be absent.
  // records: compiled catalogue, if the program reads one. Both must outlive the machine.
  Machine(std::shared_ptr<const Program> program, FeatureArrays items, Table records,
          MachineOptions options);
  ~Machine();

  std::int64_t num_items() const { return items_.num_rows; }
  int lanes() const { return lanes_; }
  int num_threads() const { return pool_.num_threads(); }
  int given_width() const { return program_->given_width(); }
  int result_width() const { return program_->result().width; }

  // out: (queries, num_candidates, result width).
  void run(const Call& call, float* out);
  // The best k of the one query of a call, and their scores, in rising order of position. Positions
  // in `excluded` (rising) are left out. The answer lives until `top` is used again.
  void top_k(const Call& call, std::int64_t k, std::span<const std::int64_t> excluded, TopK& top);

  // Time spent in each instruction so far; zeros unless the machine is timed.
  std::vector<Timing> timings();

 private:
  struct Workspace;
  struct Block;
  class Borrowed;
  class WithRows;

  Workspace& borrow();
  void give_back(Workspace& workspace);
  MadeRows& borrow_rows();
  void give_back(MadeRows& rows);
  void check_items() const;
  void check_call(const Call& call) const;
  int choose_lanes(int asked) const;
  int threads_for(const Call& call) const;

  // Runs all of a call; take(worker's space, result tile, block).
  template <class Take>
  void run_all(const Call& call, Take&& take, std::span<Workspace*> spaces);

  void run_query(Workspace& own, const Call& call, std::int64_t query) const;
  template <class Take>
  void run_candidates(const Workspace& once, Workspace& own, const Call& call, std::int64_t query,
                      std::int64_t start, std::int64_t stop, Take&& take) const;
  void run_block(const Workspace& once, Workspace& own, const Call& call, const Block& block) const;
  Block next_block(Workspace& own, int buffer, const Call& call, std::int64_t query,
                   std::int64_t start, std::int64_t stop) const;
  void take_numbers(const Call& call, const Block& block, std::int64_t* to) const;
  void prefetch_after(const Call& call, std::int64_t query, std::int64_t start,
                      std::int64_t stop) const;
  void check_results(const float* tile, const Block& block) const;

  void dense_of_query(const Instruction& step, const Call& call, std::int64_t query,
                      float* out) const;
  void given(const Instruction& step, const Call& call, const Block& block, float* out) const;
  void pool_items(const Instruction& step, Workspace& own, const Call& call, const Block& block,
                  float* out) const;
  const std::int64_t* listed_rows(const Instruction& step, const Call& call, const Lists& lists,
                                  std::int64_t row, std::int64_t place) const;
  // The list of a row; its ids are those made for `place` where the table is computed.
  void pool_one(const Instruction& step, Workspace& own, const Call& call, const Lists& lists,
                std::int64_t row, std::int64_t place, float* out) const;
  const Table& table_of(const Instruction& step, const Call& call) const;
  void prepare_row_sums(Workspace& own, const Call& call, std::int64_t query) const;
  void row_sum(const Instruction& step, const Workspace& once, const Call& call,
               const Block& block, float* out) const;
  void compute(const Instruction& step, const Workspace& once, Workspace& own, int lanes,
               const float* x, const float* y, int lanes_y, float* out) const;
  void linear(const Instruction& step, const Workspace& once, Workspace& own, int lanes,
              const float* x, const float* y, float* out) const;
  static DotsArgs dots_of(const Instruction& step, Workspace& own, int lanes, const float* x,
                          const float* y, int lanes_y, float* out);
  void record_score(const Instruction& step, const Workspace& once, Workspace& own,
                    const Block& block, float* out) const;
  void build(const Instruction& step, Workspace& own) const;

  std::shared_ptr<const Program> program_;
  FeatureArrays items_;
  Table records_;
  Table dense_, ids_;  // the items' features as tables, where the program reads them
  MachineOptions options_;
  int lanes_;
  std::vector<const Instruction*> row_sums_;     // of the block list
  std::vector<const Instruction*> far_lookups_;  // of the block list, in tables worth fetching ahead
  bool scores_records_ = false;   // by a step of their own
  bool touches_records_ = false;  // where they are in order
  Pool pool_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> workspaces_;  // guarded, as is what follows
  std::vector<Workspace*> idle_;
  std::vector<std::unique_ptr<MadeRows>> made_rows_;
  std::vector<MadeRows*> idle_rows_;
};

}  // namespace recfunnel
