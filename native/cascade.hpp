// Stages of a pipeline for one query, run behind each other without leaving this library: each
// scores what is left and keeps its best.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
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
};

// What a query brings to the first of these stages.
struct Offered {
  const FeatureArrays* context = nullptr;     // one row
  const std::int64_t* columns = nullptr;      // (count,), rising; null: 0, 1, 2, ...
  const std::int64_t* rows = nullptr;         // (count,) of the items; null: the columns themselves
  std::int64_t count = 0;
  std::vector<const float*> scores;           // of each slot, (count,); null where none is known
  std::span<const std::int64_t> excluded;     // positions that must not survive, rising
};

// Remembers its buffers from query to query: nothing is allocated once it has seen a long one. One
// query at a time; others wait.
class Cascade {
 public:
  // best_first: these are the pipeline's last stages, whose answer is ordered by score.
  Cascade(std::vector<CascadeStage> stages, int num_slots, bool best_first);

  int num_stages() const { return static_cast<int>(stages_.size()); }
  int num_slots() const { return static_cast<int>(slots_.size()); }

  // Runs all stages, then calls take() while the results below stand.
  template <class Take>
  void run(const Offered& offered, Take&& take) {
    const std::lock_guard lock(mutex_);
    run_stages(offered);
    take();
  }

  // Of the last run: columns of the survivors, rising or best first; scores by slot (those of slots
  // that no stage filled and nobody brought mean nothing); seconds of each stage.
  std::span<const std::int64_t> columns() const { return {columns_.data(), size()}; }
  std::span<const float> scores(int slot) const { return {slots_[slot].data(), size()}; }
  std::span<const double> stage_seconds() const { return seconds_; }

 private:
  std::size_t size() const { return static_cast<std::size_t>(count_); }
  void run_stages(const Offered& offered);
  void take_in(const Offered& offered);
  void score(const Scorer& scorer, const Offered& offered, bool whole);
  void keep_best(const CascadeStage& stage, const Offered& offered, bool first, bool whole);
  void keep(const std::vector<std::int64_t>& positions, std::int64_t count);
  void order_by(int slot);
  Call call_of(const Scorer& scorer, const Offered& offered, bool whole);

  std::vector<CascadeStage> stages_;
  bool best_first_;
  std::mutex mutex_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> columns_, rows_, order_;
  std::vector<std::vector<float>> slots_;
  std::vector<float> given_, ordered_;
  std::vector<std::int64_t> moved_;
  std::vector<double> seconds_;
  TopK top_;
};

}  // namespace recfunnel
