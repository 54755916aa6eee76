import {
  AppstoreOutlined as AppstoreOutlinedDrawing,
  CaretRightOutlined as CaretRightOutlinedDrawing,
  CheckCircleFilled as CheckCircleFilledDrawing,
  CheckOutlined as CheckOutlinedDrawing,
  CloudDownloadOutlined as CloudDownloadOutlinedDrawing,
  CloudServerOutlined as CloudServerOutlinedDrawing,
  CodeOutlined as CodeOutlinedDrawing,
  ContainerOutlined as ContainerOutlinedDrawing,
  CopyOutlined as CopyOutlinedDrawing,
  DashboardOutlined as DashboardOutlinedDrawing,
  DeleteOutlined as DeleteOutlinedDrawing,
  DesktopOutlined as DesktopOutlinedDrawing,
  DownOutlined as DownOutlinedDrawing,
  DownloadOutlined as DownloadOutlinedDrawing,
  ExclamationCircleFilled as ExclamationCircleFilledDrawing,
  ExportOutlined as ExportOutlinedDrawing,
  FileTextOutlined as FileTextOutlinedDrawing,
  GlobalOutlined as GlobalOutlinedDrawing,
  HistoryOutlined as HistoryOutlinedDrawing,
  LogoutOutlined as LogoutOutlinedDrawing,
  MenuOutlined as MenuOutlinedDrawing,
  MoonOutlined as MoonOutlinedDrawing,
  MoreOutlined as MoreOutlinedDrawing,
  PauseOutlined as PauseOutlinedDrawing,
  PlusOutlined as PlusOutlinedDrawing,
  ReloadOutlined as ReloadOutlinedDrawing,
  SunOutlined as SunOutlinedDrawing,
  UploadOutlined as UploadOutlinedDrawing,
  UserOutlined as UserOutlinedDrawing,
  VerticalAlignBottomOutlined as VerticalAlignBottomOutlinedDrawing,
  CloseOutlined as CloseOutlinedDrawing,
  SearchOutlined as SearchOutlinedDrawing,
  UnorderedListOutlined as UnorderedListOutlinedDrawing,
  AuditOutlined as AuditOutlinedDrawing,
  ApiOutlined as ApiOutlinedDrawing,
  RollbackOutlined as RollbackOutlinedDrawing,
  EditOutlined as EditOutlinedDrawing,
  CloudUploadOutlined as CloudUploadOutlinedDrawing,
  ClusterOutlined as ClusterOutlinedDrawing,
  DeploymentUnitOutlined as DeploymentUnitOutlinedDrawing,
  DatabaseOutlined as DatabaseOutlinedDrawing,
  FileOutlined as FileOutlinedDrawing,
  FolderOutlined as FolderOutlinedDrawing,
  LinkOutlined as LinkOutlinedDrawing,
  HddOutlined as HddOutlinedDrawing,
  SaveOutlined as SaveOutlinedDrawing,
  ThunderboltOutlined as ThunderboltOutlinedDrawing,
  TeamOutlined as TeamOutlinedDrawing,
  SettingOutlined as SettingOutlinedDrawing,
  CloudSyncOutlined as CloudSyncOutlinedDrawing,
  IdcardOutlined as IdcardOutlinedDrawing,
  CodeSandboxOutlined as CodeSandboxOutlinedDrawing,
} from '@ant-design/icons'
import type { ComponentType, HTMLAttributes } from 'react'

type Drawing = ComponentType<HTMLAttributes<HTMLSpanElement>>

/**
 * Every icon stands beside a word or in a button with a name of its own, so it is hidden from screen readers: as the library
 * gives them, a button would be called "plus Deploy app".
 */
function decorative(Icon: Drawing) {
  return function Decorative() {
    return <Icon aria-hidden role="presentation" aria-label={undefined} />
  }
}

export const AppstoreOutlined = decorative(AppstoreOutlinedDrawing)
export const CaretRightOutlined = decorative(CaretRightOutlinedDrawing)
export const CheckCircleFilled = decorative(CheckCircleFilledDrawing)
export const CheckOutlined = decorative(CheckOutlinedDrawing)
export const CloudDownloadOutlined = decorative(CloudDownloadOutlinedDrawing)
export const CloudServerOutlined = decorative(CloudServerOutlinedDrawing)
export const CodeOutlined = decorative(CodeOutlinedDrawing)
export const ContainerOutlined = decorative(ContainerOutlinedDrawing)
export const CopyOutlined = decorative(CopyOutlinedDrawing)
export const DashboardOutlined = decorative(DashboardOutlinedDrawing)
export const DeleteOutlined = decorative(DeleteOutlinedDrawing)
export const DesktopOutlined = decorative(DesktopOutlinedDrawing)
export const DownOutlined = decorative(DownOutlinedDrawing)
export const DownloadOutlined = decorative(DownloadOutlinedDrawing)
export const ExclamationCircleFilled = decorative(ExclamationCircleFilledDrawing)
export const ExportOutlined = decorative(ExportOutlinedDrawing)
export const FileTextOutlined = decorative(FileTextOutlinedDrawing)
export const GlobalOutlined = decorative(GlobalOutlinedDrawing)
export const HistoryOutlined = decorative(HistoryOutlinedDrawing)
export const LogoutOutlined = decorative(LogoutOutlinedDrawing)
export const MenuOutlined = decorative(MenuOutlinedDrawing)
export const MoonOutlined = decorative(MoonOutlinedDrawing)
export const MoreOutlined = decorative(MoreOutlinedDrawing)
export const PauseOutlined = decorative(PauseOutlinedDrawing)
export const PlusOutlined = decorative(PlusOutlinedDrawing)
export const ReloadOutlined = decorative(ReloadOutlinedDrawing)
export const SunOutlined = decorative(SunOutlinedDrawing)
export const UploadOutlined = decorative(UploadOutlinedDrawing)
export const UserOutlined = decorative(UserOutlinedDrawing)
export const VerticalAlignBottomOutlined = decorative(VerticalAlignBottomOutlinedDrawing)
export const CloseOutlined = decorative(CloseOutlinedDrawing)
export const SearchOutlined = decorative(SearchOutlinedDrawing)
export const UnorderedListOutlined = decorative(UnorderedListOutlinedDrawing)
export const AuditOutlined = decorative(AuditOutlinedDrawing)
export const ApiOutlined = decorative(ApiOutlinedDrawing)
export const RollbackOutlined = decorative(RollbackOutlinedDrawing)
export const EditOutlined = decorative(EditOutlinedDrawing)
export const CloudUploadOutlined = decorative(CloudUploadOutlinedDrawing)
export const ClusterOutlined = decorative(ClusterOutlinedDrawing)
export const DeploymentUnitOutlined = decorative(DeploymentUnitOutlinedDrawing)
export const DatabaseOutlined = decorative(DatabaseOutlinedDrawing)
export const FileOutlined = decorative(FileOutlinedDrawing)
export const FolderOutlined = decorative(FolderOutlinedDrawing)
export const LinkOutlined = decorative(LinkOutlinedDrawing)
export const HddOutlined = decorative(HddOutlinedDrawing)
export const SaveOutlined = decorative(SaveOutlinedDrawing)
export const ThunderboltOutlined = decorative(ThunderboltOutlinedDrawing)
export const TeamOutlined = decorative(TeamOutlinedDrawing)
export const SettingOutlined = decorative(SettingOutlinedDrawing)
export const CloudSyncOutlined = decorative(CloudSyncOutlinedDrawing)
export const IdcardOutlined = decorative(IdcardOutlinedDrawing)
export const CodeSandboxOutlined = decorative(CodeSandboxOutlinedDrawing)
