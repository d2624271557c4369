# SPDX-License-Identifier: Apache-2.0
"""Storm lab: labelled mail-queue storms for real mail servers."""
