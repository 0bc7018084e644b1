// Stages of a pipeline for one query, run behind each other without leaving this library: each
// scores what is left and keeps its best.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "cascade_part.hpp"
#include "pool.hpp"

namespace recfunnel {

// What the sub-batches of a query keep together of the k that a stage keeps.
enum class Keep {
  kAll,    // the best k of all: they meet after each stage and are cut anew
  kShare,  // each its own best k / n, rounded up; they meet after the pipeline's last stage
};

// How a query's candidates are cut: into runs of equal length, each on one thread at a time.
struct SubBatches {
  int count = 1;
  Keep keep = Keep::kAll;
};

// Remembers its buffers from query to query: nothing is allocated once it has seen a long one. One
// query at a time; others wait.
class Cascade {
 public:
  // ends: these are the pipeline's last stages, whose answer is ordered by score.
  Cascade(std::vector<CascadeStage> stages, int num_slots, bool ends, SubBatches sub_batches);

  int num_slots() const { return static_cast<int>(left_.slots.size()); }

  // Runs all stages, then calls take() while the results below stand.
  // num_columns: that the query brought to the first stage of its pipeline; shares are cut by them.
  template <class Take>
  void run(const Offered& offered, std::int64_t num_columns, Take&& take) {
    const std::lock_guard lock(mutex_);
    run_stages(offered, num_columns);
    take();
  }

  // Of the last run: columns of the survivors, rising or best first; scores by slot (those of slots
  // that no stage filled and nobody brought mean nothing); seconds of each stage, of all
  // sub-batches together.
  std::span<const std::int64_t> columns() const { return {left_.columns.data(), size()}; }
  std::span<const float> scores(int slot) const { return {left_.slots[slot].data(), size()}; }
  std::span<const double> stage_seconds() const { return seconds_; }

 private:
  std::size_t size() const { return static_cast<std::size_t>(left_.count); }
  std::int64_t num_parts() const { return static_cast<std::int64_t>(parts_.size()); }
  bool is_last(std::size_t number) const { return ends_ && number + 1 == stages_.size(); }
  void run_stages(const Offered& offered, std::int64_t num_columns);
  void run_shares(const Offered& offered, std::int64_t num_columns);
  void run_meeting(const Offered& offered);
  void wait_for_meeting(std::size_t number) const;
  void meet(std::size_t number, const Offered& offered);
  [[noreturn]] void rethrow();
  template <class Work>
  void guarded(Work&& work);
  void gather();
  void find_best(std::int64_t count, int slot);
  void order_by(int slot);

  std::vector<CascadeStage> stages_;
  bool ends_;
  SubBatches sub_batches_;
  std::vector<CascadePart> parts_;
  Pool pool_;
  std::mutex mutex_;
  Candidates left_;
  Offered between_;  // what a stage left, as it is offered to the next
  std::vector<std::int64_t> best_, moved_;
  std::vector<std::pair<float, std::int64_t>> order_;
  std::vector<float> ordered_;
  std::vector<double> seconds_;
  std::atomic<std::int64_t> finished_{0};  // runs of a part through a stage
  std::atomic<std::size_t> met_{0};        // stages whose parts have met
  std::mutex failing_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false};
};

}  // namespace recfunnel
