/* An ODBC driver that gives two wards, has no SQLMoreResults, and refuses what `Refuses=…` in its connection string names: autocommit,
 * unbind, disconnect. It then says what no log may hold. test_odbc.py builds it. */

#include <sql.h>
#include <sqlext.h>
#include <string.h>

static const char *NAMES[] = {"ward", "staffed", "occupied"};
static const char *VALUES[2][3] = {{"ICU", "10", "7"}, {"M1", "20", "18"}};
static const char *WORDS = "no bed for Anna 19121212-1212";

static char connection[1000];
static struct { SQLWCHAR *place; SQLLEN *length; } bound[3];
static SQLULEN *fetched;
static int row;

static SQLRETURN unless_refused(const char *what) { return strstr(connection, what) ? SQL_ERROR : SQL_SUCCESS; }

SQLRETURN SQLAllocHandle(SQLSMALLINT kind, SQLHANDLE parent, SQLHANDLE *handle) {
  static char handles[4];
  *handle = &handles[kind % 4];
  return SQL_SUCCESS;
}
SQLRETURN SQLFreeHandle(SQLSMALLINT kind, SQLHANDLE handle) { return SQL_SUCCESS; }
SQLRETURN SQLSetEnvAttr(SQLHENV env, SQLINTEGER key, SQLPOINTER value, SQLINTEGER length) { return SQL_SUCCESS; }

SQLRETURN SQLDriverConnect(SQLHDBC dbc, SQLHWND window, SQLCHAR *in, SQLSMALLINT in_length, SQLCHAR *out, SQLSMALLINT most,
                           SQLSMALLINT *out_length, SQLUSMALLINT prompt) {
  strncpy(connection, (char *)in, sizeof connection - 1);
  return SQL_SUCCESS;
}
SQLRETURN SQLDisconnect(SQLHDBC dbc) { return unless_refused("disconnect"); }
SQLRETURN SQLSetConnectAttr(SQLHDBC dbc, SQLINTEGER key, SQLPOINTER value, SQLINTEGER length) {
  return key == SQL_ATTR_AUTOCOMMIT ? unless_refused("autocommit") : SQL_SUCCESS;
}
SQLRETURN SQLEndTran(SQLSMALLINT kind, SQLHANDLE handle, SQLSMALLINT how) { return SQL_SUCCESS; }
SQLRETURN SQLGetDiagRec(SQLSMALLINT kind, SQLHANDLE handle, SQLSMALLINT number, SQLCHAR *state, SQLINTEGER *native, SQLCHAR *text,
                        SQLSMALLINT most, SQLSMALLINT *length) {
  if (number > 1) return SQL_NO_DATA;
  strcpy((char *)state, "HY000");
  strncpy((char *)text, WORDS, most);
  *native = 7;
  *length = strlen(WORDS);
  return SQL_SUCCESS;
}
/* The driver manager asks for words only where there is this as well. */
SQLRETURN SQLGetDiagField(SQLSMALLINT kind, SQLHANDLE handle, SQLSMALLINT number, SQLSMALLINT key, SQLPOINTER value, SQLSMALLINT most,
                          SQLSMALLINT *length) {
  return SQL_NO_DATA;
}

SQLRETURN SQLSetStmtAttr(SQLHSTMT stmt, SQLINTEGER key, SQLPOINTER value, SQLINTEGER length) {
  if (key == SQL_ATTR_ROWS_FETCHED_PTR) fetched = value;
  return SQL_SUCCESS;
}
SQLRETURN SQLGetStmtAttr(SQLHSTMT stmt, SQLINTEGER key, SQLPOINTER value, SQLINTEGER most, SQLINTEGER *length) {
  *(SQLHANDLE *)value = stmt; /* the descriptors that the driver manager asks for */
  return SQL_SUCCESS;
}
SQLRETURN SQLFreeStmt(SQLHSTMT stmt, SQLUSMALLINT how) { return how == SQL_UNBIND ? unless_refused("unbind") : SQL_SUCCESS; }
SQLRETURN SQLExecDirect(SQLHSTMT stmt, SQLCHAR *query, SQLINTEGER length) {
  row = 0;
  return SQL_SUCCESS;
}
SQLRETURN SQLNumResultCols(SQLHSTMT stmt, SQLSMALLINT *count) {
  *count = 3;
  return SQL_SUCCESS;
}
SQLRETURN SQLColAttribute(SQLHSTMT stmt, SQLUSMALLINT column, SQLUSMALLINT key, SQLPOINTER text, SQLSMALLINT most, SQLSMALLINT *length,
                          SQLLEN *number) {
  strncpy(text, NAMES[column - 1], most);
  *length = strlen(NAMES[column - 1]);
  return SQL_SUCCESS;
}
SQLRETURN SQLBindCol(SQLHSTMT stmt, SQLUSMALLINT column, SQLSMALLINT kind, SQLPOINTER place, SQLLEN most, SQLLEN *length) {
  bound[column - 1].place = place;
  bound[column - 1].length = length;
  return SQL_SUCCESS;
}
SQLRETURN SQLFetch(SQLHSTMT stmt) {
  if (row == 2) return SQL_NO_DATA;
  for (int column = 0; column < 3; column++) {
    const char *value = VALUES[row][column];
    int at = 0;
    for (; value[at]; at++) bound[column].place[at] = value[at];
    *bound[column].length = at * sizeof(SQLWCHAR);
  }
  row++;
  *fetched = 1;
  return SQL_SUCCESS;
}
