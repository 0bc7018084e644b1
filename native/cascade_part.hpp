// Some of a query's candidates on their way through the stages of a cascade.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "machine.hpp"

namespace recfunnel {

// A model a stage calls. Scores have numbered slots: it reads some and fills one.
struct Scorer {
  std::shared_ptr<Machine> machine;
  std::vector<int> given;  // slots it reads, in the order of its given scores
  int slot = 0;            // that it fills
};

// The last scorer is the stage's own: its best `num_out` survive.
struct CascadeStage {
  std::vector<Scorer> scorers;
  std::int64_t num_out = 0;

  int slot() const { return scorers.back().slot; }
};

// What a stage is offered.
struct Offered {
  const FeatureArrays* context = nullptr;     // one row
  const std::int64_t* columns = nullptr;      // (count,), rising; null: 0, 1, 2, ...
  const std::int64_t* rows = nullptr;         // (count,) of the items; null: the columns themselves
  std::int64_t count = 0;
  std::vector<const float*> scores;           // of each slot, (count,); null where none is known
  std::span<const std::int64_t> excluded;     // positions that must not survive, rising

  std::int64_t column(std::int64_t position) const {
    return columns == nullptr ? position : columns[position];
  }
};

// Columns, the items behind them, and their scores by slot. Arrays may be longer than `count`.
struct Candidates {
  std::int64_t count = 0;
  std::vector<std::int64_t> columns, rows;
  std::vector<std::vector<float>> slots;

  void append(const Candidates& more);
  // Leaves those at some positions, which rise.
  void keep(std::span<const std::int64_t> positions);
};

// Remembers its buffers from query to query. Parts of a query may run on different threads.
class CascadePart {
 public:
  CascadePart(int num_slots, std::size_t num_stages);

  // Positions first to last - 1 of what is offered, which must live until the next call.
  void take_in(const Offered& offered, std::int64_t first, std::int64_t last);
  // Scores what is left and keeps the best `num_out`, on at most so many threads.
  void run(const CascadeStage& stage, std::size_t number, std::int64_t num_out, int threads);

  const Candidates& left() const { return left_; }  // columns rise
  std::span<const double> stage_seconds() const { return seconds_; }

 private:
  Call call_of(const Scorer& scorer, int threads);
  const std::int64_t* rows_for(const Machine& machine);
  const float* scores_of(std::size_t slot) const;
  void keep(std::span<const std::int64_t> positions);

  const Offered* offered_ = nullptr;
  std::int64_t first_ = 0;   // position in what is offered
  bool is_offered_ = false;  // until a stage has run, columns and rows are read where they are,
  std::vector<bool> is_made_;  // and scores too, but of slots filled since
  Candidates left_;
  std::vector<std::int64_t> excluded_;
  std::vector<float> given_;
  std::vector<double> seconds_;
  TopK top_;
};

}  // namespace recfunnel
