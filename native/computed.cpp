#include "computed.hpp"

#include <string>

namespace recfunnel {
namespace {

constexpr std::size_t kTakenOfFour = 3;  // slots of an index

// Of `num_slots`, each as likely.
std::uint64_t slot_of(std::uint32_t id, std::uint64_t num_slots) {
  return (std::uint64_t{mixed(id)} * num_slots) >> 32;
}

void require(bool condition, const std::string& message) {
  if (!condition) throw ProgramError(message);
}

}  // namespace

ComputedTable::ComputedTable(std::int64_t num_ids, std::int32_t dim)
    : num_ids_(num_ids), dim_(dim) {
  require(num_ids >= 1 && num_ids <= (std::int64_t{1} << 32) - 1,
          "a computed table has 1 to 4,294,967,295 ids, not " + std::to_string(num_ids));
  require(dim >= 1 && dim < (1 << 24), "rows of a computed table must hold numbers");
}

HotRows::HotRows(Array rows, Array index, std::int32_t dim, std::int64_t num_ids)
    : rows_(std::move(rows)),
      index_(std::move(index)),
      data_(static_cast<const float*>(rows_.data)),
      slots_(static_cast<const Slot*>(index_.data)),
      dim_(dim) {
  require(rows_.is_float32 && rows_.shape.size() == 2 && rows_.shape[1] == dim,
          "hot rows are float32 (count, " + std::to_string(dim) + ")");
  require(index_.item_bytes == 4 && index_.shape.size() == 2 && index_.shape[1] == 2,
          "the index of hot rows is uint32 (slots, 2)");
  num_slots_ = static_cast<std::uint64_t>(index_.shape[0]);
  std::int64_t taken = 0;
  for (std::uint64_t slot = 0; slot < num_slots_; ++slot) {
    if (slots_[slot].row == kEmpty) continue;
    ++taken;
    require(slots_[slot].row < static_cast<std::uint64_t>(size()) && slots_[slot].id < num_ids,
            "the index of hot rows names a row or an id that is not there");
  }
  require(taken == size() && (size() == 0 || taken < index_.shape[0]),
          "the index of hot rows names each row once and has room left");
}

std::uint64_t HotRows::home(std::uint32_t id) const { return slot_of(id, num_slots_); }

const float* HotRows::find(std::uint32_t id) const {
  if (num_slots_ == 0) return nullptr;
  for (std::uint64_t slot = home(id);; slot = slot + 1 == num_slots_ ? 0 : slot + 1) {
    if (slots_[slot].row == kEmpty) return nullptr;
    if (slots_[slot].id == id) return data_ + std::uint64_t{slots_[slot].row} * dim_;
  }
}

std::vector<HotRows::Slot> HotRows::index_of(const std::uint32_t* ids, std::size_t count) {
  if (count == 0) return {};
  require(count < kEmpty, "hot rows are fewer than 4,294,967,295");
  const std::size_t num_slots = count * 4 / kTakenOfFour + 1;
  std::vector<Slot> slots(num_slots, {kEmpty, kEmpty});
  for (std::size_t row = 0; row < count; ++row) {
    std::uint64_t slot = slot_of(ids[row], num_slots);
    while (slots[slot].row != kEmpty) {
      require(slots[slot].id != ids[row],
              "hot ids must differ; " + std::to_string(ids[row]) + " is there twice");
      slot = slot + 1 == num_slots ? 0 : slot + 1;
    }
    slots[slot] = {ids[row], static_cast<std::uint32_t>(row)};
  }
  return slots;
}

}  // namespace recfunnel
