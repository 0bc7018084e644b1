// Tables whose rows are computed from an id, and the rows of frequent ids kept beside them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"
#include "program.hpp"

namespace recfunnel {

// The finaliser of murmur3: spreads ids over hash tables.
inline std::uint32_t mixed(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  return x ^ (x >> 16);
}

// A row depends on its id alone: not on the other ids it is asked with, nor on their order or
// number.
class ComputedTable {
 public:
  ComputedTable(std::int64_t num_ids, std::int32_t dim);  // throws ProgramError
  virtual ~ComputedTable() = default;
  ComputedTable(const ComputedTable&) = delete;
  ComputedTable& operator=(const ComputedTable&) = delete;

  std::int64_t num_ids() const { return num_ids_; }
  std::int32_t dim() const { return dim_; }

  // What `rows` needs, 64-byte aligned.
  virtual std::size_t scratch_bytes() const = 0;
  // Rows of 1 to kMaxLanes ids below num_ids, one after the other.
  virtual void rows(const std::uint32_t* ids, int count, float* out, std::byte* scratch) const = 0;

 private:
  std::int64_t num_ids_;
  std::int32_t dim_;
};

// Rows of the most frequent ids, found by hashing; all of it may be mapped from a file.
class HotRows {
 public:
  // A slot of the index: an id and its row, or kEmpty twice.
  struct Slot {
    std::uint32_t id;
    std::uint32_t row;
  };
  static constexpr std::uint32_t kEmpty = 0xFFFFFFFF;

  // rows: float32 (count, dim); index: uint32 (slots, 2), as `index_of` makes it.
  // Throws ProgramError where they do not belong together.
  HotRows(Array rows, Array index, std::int32_t dim, std::int64_t num_ids);

  std::int64_t size() const { return rows_.shape[0]; }
  const float* find(std::uint32_t id) const;  // null where it is not kept
  void fetch(std::uint32_t id) const { __builtin_prefetch(slots_ + home(id)); }

  // Three quarters of the slots are taken. Ids must differ.
  static std::vector<Slot> index_of(const std::uint32_t* ids, std::size_t count);

 private:
  std::uint64_t home(std::uint32_t id) const;

  Array rows_, index_;
  const float* data_;
  const Slot* slots_;
  std::uint64_t num_slots_;
  std::int32_t dim_;
};

}  // namespace recfunnel
