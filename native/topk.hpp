// The exact best k of a stream of scores: higher first, lower position first among equals.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.hpp"

namespace recfunnel {

// Fed with rising positions. Keeps at most 2k + kSpare scores; once it was full, a score must beat
// the k-th best to be looked at again.
class TopK {
 public:
  void reset(const Kernels& kernels, std::int64_t k);

  // Scores of positions first, first + 1, ...; minus infinity is never kept.
  void feed(const float* scores, int count, std::int64_t first);
  // Takes in what another one, fed with other positions, has kept.
  void merge(const TopK& other);
  // Leaves the best k, in rising order of position.
  void finish();

  const std::vector<float>& scores() const { return scores_; }
  const std::vector<std::int64_t>& positions() const { return positions_; }
  std::int64_t size() const { return size_; }

 private:
  void keep_from_threshold(std::int64_t most_equal);
  std::int64_t find_threshold();
  void shrink();
  void sort();  // by position

  struct Kept {
    float score;
    std::int64_t position;
  };

  const Kernels* kernels_ = nullptr;
  std::int64_t k_ = 0, size_ = 0;
  float threshold_ = 0;
  std::vector<float> scores_;
  std::vector<std::int64_t> positions_;
  std::vector<Kept> order_;
};

}  // namespace recfunnel
