#ifndef HEARTH_MPI_SHIM_H
#define HEARTH_MPI_SHIM_H

// MPI's constants are macros, which Swift cannot see. The collectives are started without waiting, so that whoever waits for
// slower members can sleep meanwhile; MPI itself spins.

#include <mpi.h>
#include <stdint.h>

typedef struct {
  MPI_Request request;
} hearth_mpi_wait;

/// Joins the other processes. Errors come back as codes from now on.
static inline int hearth_mpi_start(void) {
  int provided;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return code;
  return MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

static inline int hearth_mpi_rank(void) {
  int rank = 0;
  return MPI_Comm_rank(MPI_COMM_WORLD, &rank) == MPI_SUCCESS ? rank : -1;
}

static inline int hearth_mpi_size(void) {
  int size = 0;
  return MPI_Comm_size(MPI_COMM_WORLD, &size) == MPI_SUCCESS ? size : -1;
}

static inline int hearth_mpi_sum_floats(float* values, int count, hearth_mpi_wait* wait) {
  return MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &wait->request);
}

static inline int hearth_mpi_sum_doubles(double* values, int count, hearth_mpi_wait* wait) {
  return MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD, &wait->request);
}

static inline int hearth_mpi_share(void* bytes, int count, hearth_mpi_wait* wait) {
  return MPI_Ibcast(bytes, count, MPI_BYTE, 0, MPI_COMM_WORLD, &wait->request);
}

/// Whether what was started has ended.
static inline int hearth_mpi_test(hearth_mpi_wait* wait, int* is_done) {
  return MPI_Test(&wait->request, is_done, MPI_STATUS_IGNORE);
}

/// What an error code means, at most MPI_MAX_ERROR_STRING bytes into `text`.
static inline void hearth_mpi_message(int code, char* text) {
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) text[0] = 0;
}

enum { HEARTH_MPI_MESSAGE_BYTES = MPI_MAX_ERROR_STRING };

static inline int hearth_mpi_end(void) { return MPI_Finalize(); }

/// Ends all processes of the group at once.
static inline void hearth_mpi_abort(void) { MPI_Abort(MPI_COMM_WORLD, 1); }

#endif
