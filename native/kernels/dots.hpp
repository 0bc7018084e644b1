// Dot products of vectors that lie side by side in tiles.
//
// Each dot is one chain of multiply-adds over the dimensions, in order, for any number of lanes.
#pragma once

#include "kernels.hpp"
#include "rows.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// Vectors by vectors in one block; their sums fill the registers.
inline constexpr int kBlock = kWidth == 16 ? 4 : 3;

// Dots of X vectors with Y others, kWidth lanes. put(i, j, dot) takes them; of a triangle those
// with j < i alone, the vectors being the same.
template <int X, int Y, bool Triangle, class XAt, class YAt, class Put>
RF_INLINE void dots_block(int dim, XAt x_at, YAt y_at, Put put) {
  Floats sums[X][Y] = {};
  for (int d = 0; d < dim; ++d) {
    Floats y[Y];
    RF_UNROLL
    for (int j = 0; j < Y; ++j) y[j] = y_at(j, d);
    RF_UNROLL
    for (int i = 0; i < X; ++i) {
      const Floats x = Triangle ? y[i < Y ? i : 0] : x_at(i, d);
      RF_UNROLL
      for (int j = 0; j < Y; ++j) {
        if (!Triangle || j < i) sums[i][j] = multiply_added(sums[i][j], x, y[j]);
      }
    }
  }
  RF_UNROLL
  for (int i = 0; i < X; ++i) {
    RF_UNROLL
    for (int j = 0; j < Y; ++j) {
      if (!Triangle || j < i) put(i, j, sums[i][j]);
    }
  }
}

// lanes = 1: dots of each of x with each of y, put(v, u, dots, count) taking those of vector v with
// `count` vectors of y from the u-th on. Vectors of y are put into lanes, a few dimensions at a
// time.
template <class Put>
RF_INLINE void dots_of_one(const float* x, int num_x, const float* y, int num_y, int dim,
                           bool triangle, Put put) {
  constexpr int kDims = 64;
  constexpr int kVectors = 4;
  alignas(64) float turned[kDims * kWidth];
  const Table vectors{reinterpret_cast<const std::byte*>(y), num_y,
                      std::int64_t{dim} * std::int64_t{sizeof(float)}, dim, Storage::kFloat32};
  for (int u = 0; u < num_y; u += kWidth) {
    const int count = smaller(kWidth, num_y - u);
    std::int64_t rows[kWidth];
    for (int i = 0; i < kWidth; ++i) rows[i] = u + smaller(i, count - 1);
    const int first = triangle ? u + 1 : 0;
    for (int begin = 0; begin < dim; begin += kDims) {
      const int num_dims = smaller(kDims, dim - begin);
      gather_lanes<Format<Storage::kFloat32>>(vectors, rows, begin, num_dims, kWidth, turned);
      for (int v = first; v < num_x; v += kVectors) {
        with_constant<kVectors>(smaller(kVectors, num_x - v), [&](auto constant) {
          constexpr int kNow = decltype(constant)::value;
          Floats sums[kNow];
          RF_UNROLL
          for (int i = 0; i < kNow; ++i) {
            sums[i] = begin == 0 ? Floats{} : put(v + i, u, Floats{}, 0);
          }
          const float* from = x + std::ptrdiff_t{v} * dim + begin;
          for (int d = 0; d < num_dims; ++d) {
            const Floats other = load(turned + d * kWidth);
            RF_UNROLL
            for (int i = 0; i < kNow; ++i) {
              sums[i] =
                  multiply_added(sums[i], broadcast(from[std::ptrdiff_t{i} * dim + d]), other);
            }
          }
          RF_UNROLL
          for (int i = 0; i < kNow; ++i) put(v + i, u, sums[i], count);
        });
      }
    }
  }
}

inline void pair_dots(const float* in, int num_vectors, int dim, int lanes, float* out) {
  const auto position = [](std::ptrdiff_t v, int u) { return v * (v - 1) / 2 + u; };
  if (lanes == 1) {
    dots_of_one(in, num_vectors, in, num_vectors, dim, true,
                [&](int v, int u, Floats dots, int count) {
                  float* to = out + position(v, u);
                  const int wanted = smaller(v - u, kWidth);
                  if (count == 0) return load_first(to, wanted);
                  store_first(to, dots, smaller(count, wanted));
                  return dots;
                });
    return;
  }
  const std::ptrdiff_t vector = std::ptrdiff_t{dim} * lanes;
  for (int lane = 0; lane < lanes; lane += kWidth) {
    const auto at = [&](int first) {
      return [from = in + first * vector + lane, vector, lanes](int i, int d) {
        return load(from + i * vector + std::ptrdiff_t{d} * lanes);
      };
    };
    for (int v = 0; v < num_vectors; v += kBlock) {
      with_constant<kBlock>(smaller(kBlock, num_vectors - v), [&](auto constant) {
        constexpr int kNow = decltype(constant)::value;
        const auto put_from = [&](int u) {
          return [&, u](int i, int j, Floats dot) {
            store(out + position(v + i, u + j) * lanes + lane, dot);
          };
        };
        for (int u = 0; u < v; u += kBlock) {
          dots_block<kNow, kBlock, false>(dim, at(v), at(u), put_from(u));
        }
        dots_block<kNow, kNow, true>(dim, at(v), at(v), put_from(v));
      });
    }
  }
}

inline void cross_dots(const float* x, const float* y, int num_x, int num_y, int dim, int lanes,
                       int lanes_y, float* out) {
  if (lanes == 1) {
    dots_of_one(x, num_x, y, num_y, dim, false, [&](int v, int u, Floats dots, int count) {
      float* to = out + std::ptrdiff_t{v} * num_y + u;
      if (count == 0) return load_first(to, smaller(num_y - u, kWidth));
      store_first(to, dots, count);
      return dots;
    });
    return;
  }
  const std::ptrdiff_t vector = std::ptrdiff_t{dim} * lanes;
  for (int lane = 0; lane < lanes; lane += kWidth) {
    for (int v = 0; v < num_x; v += kBlock) {
      with_constant<kBlock>(smaller(kBlock, num_x - v), [&](auto constant_x) {
        for (int u = 0; u < num_y; u += kBlock) {
          with_constant<kBlock>(smaller(kBlock, num_y - u), [&](auto constant_y) {
            constexpr int kX = decltype(constant_x)::value;
            constexpr int kY = decltype(constant_y)::value;
            const auto put = [&](int i, int j, Floats dot) {
              const std::ptrdiff_t row = std::ptrdiff_t{v + i} * num_y + u + j;
              store(out + row * lanes + lane, dot);
            };
            const auto x_at = [from = x + v * vector + lane, vector, lanes](int i, int d) {
              return load(from + i * vector + std::ptrdiff_t{d} * lanes);
            };
            if (lanes_y == 1) {
              const auto y_at = [from = y + std::ptrdiff_t{u} * dim, dim](int j, int d) {
                return broadcast(from[std::ptrdiff_t{j} * dim + d]);
              };
              dots_block<kX, kY, false>(dim, x_at, y_at, put);
            } else {
              const auto y_at = [from = y + u * vector + lane, vector, lanes](int j, int d) {
                return load(from + j * vector + std::ptrdiff_t{d} * lanes);
              };
              dots_block<kX, kY, false>(dim, x_at, y_at, put);
            }
          });
        }
      });
    }
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
